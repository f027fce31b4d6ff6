"""Sightings of all cameras become journeys without a query: one vehicle over all cameras.

    with Gallery.open("garage") as gallery:
        linking = link(gallery)
        linking.journeys[0].cameras

``sightings`` makes sightings of entries, ``alike`` finds pairs by the gallery's own search, ``evidence`` turns their
similarities into log-odds, ``rules`` and ``people`` say what cannot be or must be, ``agglomeration`` clusters,
``travel`` has travel times, ``journeys`` the result, ``tables`` what is written of it, and ``linking`` is the whole.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
