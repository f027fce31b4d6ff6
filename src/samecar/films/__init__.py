"""Films: vehicles are detected, linked to tracks, and added to a gallery.

    detector = YoloxDetector.open(Path("yolox.onnx"))
    with Gallery.open("gallery") as gallery:
        report = ingest(Path("monday.mp4"), gallery, detector, camera="north")

``sources`` reads frames of films and folders, and ``live`` those of cameras; ``detectors`` finds vehicles in them, and
``detection`` has the geometry of their boxes; ``tracking`` links what was found, ``choosing`` keeps each track's best
crops, ``following`` puts these together, ``ingesting`` adds to a gallery, ``sketching`` draws frames to look at.
"""

from samecar.films.detection import Detections, Detector
from samecar.films.detectors.opening import open_detector
from samecar.films.detectors.yolox import YoloxDetector
from samecar.films.following import FilmSettings, Passage, passages
from samecar.films.ingesting import IngestReport, ingest
from samecar.films.live.stream import Stream, open_stream
from samecar.films.sources.base import Frame, FrameSource
from samecar.films.sources.film import Film, open_film
from samecar.films.sources.folder import FrameFolder, FrameTimes
from samecar.films.sources.opening import open_frames

__all__ = [
    "Detections",
    "Detector",
    "Film",
    "FilmSettings",
    "Frame",
    "FrameFolder",
    "FrameSource",
    "FrameTimes",
    "IngestReport",
    "Passage",
    "Stream",
    "YoloxDetector",
    "ingest",
    "open_detector",
    "open_film",
    "open_frames",
    "open_stream",
    "passages",
]
