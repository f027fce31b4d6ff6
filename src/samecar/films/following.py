"""From a film to tracks: frames are read, vehicles detected and linked, and each track's best crops kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from samecar.errors import SamecarError
from samecar.films.choosing import Album, Crop, crop_of
from samecar.films.detection import Detections, Detector
from samecar.films.sources.base import Frame, FrameSource
from samecar.films.tracking import Track, Tracker
from samecar.progress import Progress, silent

UNSURE = 0.1
"""Lowest confidence of a detection that can carry on a track; what lies below is noise."""

FOLLOWED = 0.5
"""Share of the smallest crop's size that a vehicle must have to be followed.

Far away, where vehicles are tiny and close together, a track easily takes another vehicle for its own.
"""

Watch = Callable[[Frame, Detections, dict[int, Track]], None]
"""Is shown each frame with its detections and the track of each."""


@dataclass(frozen=True)
class FilmSettings:
    """How a film is looked at.

    Attributes:
        frames_per_second: frames to look at; more for fast traffic.
        minimum_confidence: of detections that begin a track or are cropped, above 0 and below 1.
        minimum_size: pixels of the shorter side of a crop.
        pool: most crops that a vehicle's embedding is made of.

    Raises:
        SamecarError: a value is not allowed.
    """

    frames_per_second: float = 5
    minimum_confidence: float = 0.4
    minimum_size: int = 48
    pool: int = 8

    def __post_init__(self) -> None:
        allowed = {
            "frames_per_second": (0.1 <= self.frames_per_second <= 120, "from 0.1 to 120"),
            "minimum_confidence": (0 < self.minimum_confidence < 1, "above 0 and below 1"),
            "minimum_size": (self.minimum_size >= 1, "of pixels, 1 or more"),
            "pool": (self.pool >= 1, "from 1"),
        }
        for name, (right, rule) in allowed.items():
            if not right:
                raise SamecarError(f"{name} is {getattr(self, name)}; give a number {rule}")


DEFAULT_SETTINGS = FilmSettings()


def ignore(sentence: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, eq=False)
class Passage:
    """A vehicle's passage by the camera, when it is over.

    Attributes:
        number: of the track, from 1, in the order in which they were found.
        kind: name or number of the vehicle's class.
        first: when it was first seen, in seconds since the film began.
        last: when it was last seen.
        crops: the best ones, best first; none where all were too small, or cut off by the border.
    """

    number: int
    kind: str
    first: float
    last: float
    crops: tuple[Crop, ...]


def passages(
    film: FrameSource,
    detector: Detector,
    settings: FilmSettings = DEFAULT_SETTINGS,
    *,
    watch: Watch | None = None,
    progress: Progress = silent,
    notify: Callable[[str], object] = ignore,
) -> Iterator[Passage]:
    """Finds the vehicles of a film; each one is given as soon as it has passed.

    Args:
        film: an open film, folder of frames or stream.
        detector: finds vehicles in a frame.
        settings: how the film is looked at.
        watch: is shown each frame and what was found in it.
        progress: is told how many frames are done, of how many.
        notify: is told what happens to a stream meanwhile, a sentence at a time.
    """
    tracker = Tracker(settings.minimum_confidence, film.spacing(settings.frames_per_second))
    albums: dict[Track, Album] = {}
    expected = round(film.seconds * settings.frames_per_second)
    least = min(UNSURE, settings.minimum_confidence)
    shape: tuple[int, ...] = ()
    for frame in film.frames(settings.frames_per_second):
        for sentence in film.notices():
            notify(sentence)
        if frame is None or frame.picture.shape != shape:  # in a picture of another size nothing is where it was
            yield from _finish(tracker.ended(float("inf")), albums)
        if frame is None:
            continue
        shape = frame.picture.shape
        detections = detector.detect(frame.picture, least).of_size(FOLLOWED * settings.minimum_size)
        tracks = tracker.step(frame.time, detections)
        _keep_crops(albums, frame, detections, tracks, settings)
        if watch is not None:
            watch(frame, detections, tracks)
        progress("frames", film.given, max(expected, film.given))
        yield from _finish(tracker.ended(frame.time), albums)
    for sentence in film.notices():
        notify(sentence)
    yield from _finish(tracker.ended(float("inf")), albums)
    progress("frames", film.given, film.given)


def _keep_crops(
    albums: dict[Track, Album], frame: Frame, detections: Detections, tracks: dict[int, Track], settings: FilmSettings
) -> None:
    """Puts the crops of a frame into the albums of their tracks."""
    for index, track in tracks.items():
        album = albums.setdefault(track, Album(settings.pool, 1 / settings.frames_per_second))
        if detections.confidences[index] >= settings.minimum_confidence:
            crop = crop_of(frame, detections, index, settings.minimum_size)
            if crop is not None:
                album.put(crop)


def _finish(tracks: list[Track], albums: dict[Track, Album]) -> Iterator[Passage]:
    for track in tracks:
        album = albums.pop(track)
        if track.number:
            yield Passage(track.number, track.kind, track.first, track.last, tuple(album.chosen()))
