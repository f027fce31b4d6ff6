"""A watch list: vehicles that are looked for in all that is added to a gallery, and what is told when one is seen.

    with Gallery.open("garage") as gallery, announcing(gallery, EventSettings(events="seen.jsonl")):
        gallery.add(...)

``watch_list`` keeps the list with the gallery, ``watcher`` compares what is added with it, ``events`` says what is told
and writes it, ``webhook`` sends it, ``announcing`` puts these together.
"""

from samecar.watching.announcing import EventSettings, announcing
from samecar.watching.events import Event
from samecar.watching.watch_list import (
    WatchedPicture,
    WatchList,
    change_watch_list,
    clear_watch_list,
    read_watch_list,
    watch_pictures,
)
from samecar.watching.watcher import Watcher

__all__ = [
    "Event",
    "EventSettings",
    "WatchList",
    "WatchedPicture",
    "Watcher",
    "announcing",
    "change_watch_list",
    "clear_watch_list",
    "read_watch_list",
    "watch_pictures",
]
