"""Films: vehicles are detected, linked to tracks, and added to a gallery.

    detector = YoloxDetector.open(Path("yolox.onnx"))
    with Gallery.open("gallery") as gallery:
        report = ingest(Path("monday.mp4"), gallery, detector, camera="north")

``decoding`` reads frames, ``detection`` finds vehicles in them and has the geometry of their boxes, ``tracking`` links
what was found, ``choosing`` keeps each track's best crops, ``following`` puts these together, ``ingesting`` adds to a
gallery, ``sketching`` draws frames to look at.
"""

from samecar.films.decoding import Film, Frame, open_film
from samecar.films.detection import Detections, Detector, YoloxDetector
from samecar.films.following import FilmSettings, Passage, passages
from samecar.films.ingesting import IngestReport, ingest

__all__ = [
    "Detections",
    "Detector",
    "Film",
    "FilmSettings",
    "Frame",
    "IngestReport",
    "Passage",
    "YoloxDetector",
    "ingest",
    "open_film",
    "passages",
]
