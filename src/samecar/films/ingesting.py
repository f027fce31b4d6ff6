"""From a film, a folder of frames or a camera to a gallery: each vehicle's passage becomes one entry."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

import numpy as np

from samecar.addresses import is_address
from samecar.data.pictures import UnreadablePictureError, read_picture
from samecar.errors import SamecarError
from samecar.files import as_path, write_file
from samecar.films.choosing import Crop
from samecar.films.detection import Detector
from samecar.films.detectors.opening import open_detector
from samecar.films.following import DEFAULT_SETTINGS, FilmSettings, Passage, ignore, passages
from samecar.films.sketching import Sketcher
from samecar.films.sources.base import FrameSource
from samecar.films.sources.folder import BY_NAME, FrameTimes
from samecar.films.sources.opening import open_frames
from samecar.progress import Progress, show_progress, silent
from samecar.retrieval.gallery import Gallery
from samecar.retrieval.records import CONTENT_MARK, Sighting, track_content


@dataclass
class IngestReport:
    """What became of a film, of a folder of frames, or of what a camera saw meanwhile.

    Attributes:
        film: name of the file or folder; of a camera's address scheme, host and port.
        frames: number of frames looked at.
        seconds: how long the film is that could be read.
        tracks: number of vehicles that were followed.
        added: number of those that the gallery holds now and did not before.
        known: number of those that it held already.
        kept_otherwise: number of those that it holds with another camera or time, which stay as they are.
        left_out: number of those that were always too small, or cut off by the border.
        warnings: a sentence for each thing that could not be read.
        dropped: number of a camera's frames that were left out, as finding vehicles takes longer than frames come.
        reconnections: how often a camera was found again after its connection was lost.
    """

    film: str
    frames: int = 0
    seconds: float = 0.0
    tracks: int = 0
    added: int = 0
    known: int = 0
    kept_otherwise: int = 0
    left_out: int = 0
    warnings: tuple[str, ...] = ()
    dropped: int = 0
    reconnections: int = 0


def check_camera(name: str) -> None:
    """Raises SamecarError if a camera has no name."""
    if not name.strip():
        raise SamecarError("--camera is empty; give the name of the camera that took the film")


def ingest(
    path: str | Path | FrameSource,
    gallery: Gallery | str | Path,
    detector: Detector | str | Path,
    *,
    camera: str,
    start: float | None = None,
    times: FrameTimes = BY_NAME,
    settings: FilmSettings = DEFAULT_SETTINGS,
    crops: str | Path | None = None,
    draw: str | Path | None = None,
    workers: int | None = None,
    progress: Progress | bool | None = silent,
    notify: Callable[[str], object] = ignore,
) -> IngestReport:
    """Adds the vehicles of a film, a folder of frames or a camera to a gallery, each one as soon as it has passed.

    An interruption keeps what was added; ingesting the same film with the same settings again adds what is missing. A
    camera is watched until its `Stream` is told to stop.

    Args:
        path: of a film or a folder, the address of a camera, or what `open_frames` opened.
        gallery: to add to, or its folder; its model makes the embeddings.
        detector: finds vehicles in a frame; the path of an ONNX file is opened by `open_detector`.
        camera: that took the film.
        start: when the film begins, in seconds since 1970-01-01 UTC; without it the entries have no time. A folder
            whose frames say when they were taken, a camera, and what was opened before need none.
        times: where the times of a folder's frames stand.
        settings: how the film is looked at.
        crops: folder for the pictures that embeddings are made of, if they are wanted.
        draw: folder for a frame every second with boxes and tracks' numbers, if they are wanted.
        workers: threads that decode the film; default: as many as its decoder chooses.
        progress: True shows bars; a function is told how many frames are done, of how many.
        notify: is told what happens to a camera's stream meanwhile, a sentence at a time.

    Raises:
        SamecarError: the film cannot be read, the camera has no name, or a crop's file is there already and shows
            something else.
    """
    check_camera(camera)
    crops = None if crops is None else as_path(crops, "crops")
    draw = None if draw is None else as_path(draw, "draw")
    with ExitStack() as opened:
        if isinstance(path, str) and is_address(path):
            gallery = _open(gallery, opened)
            _ = gallery.model  # read before, since a camera films on meanwhile
        if isinstance(path, FrameSource):
            film = path
        else:
            film = opened.enter_context(open_frames(path, start, times, workers))
        report = IngestReport(film.name)
        watch = None if draw is None else Sketcher(draw, film.stem, settings.minimum_confidence)
        if isinstance(detector, str | PathLike):
            detector = open_detector(detector)
        gallery = _open(gallery, opened)
        told = opened.enter_context(show_progress(progress))
        for passage in passages(film, detector, settings, watch=watch, progress=told, notify=notify):
            report.tracks += 1
            if passage.crops:
                _add(gallery, film, passage, camera, crops, report)
            else:
                report.left_out += 1
        report.frames, report.seconds, report.warnings = film.given, film.reached, tuple(film.warnings)
        report.dropped, report.reconnections = film.dropped, film.reconnections
    if report.kept_otherwise:
        sentence = (
            f"{report.kept_otherwise} known already are kept with another camera or time; to change that remove them "
            f"(samecar gallery remove, --label film={report.film}) and ingest the film again"
        )
        report.warnings = (*report.warnings, sentence)
    return report


def _open(gallery: Gallery | str | Path, opened: ExitStack) -> Gallery:
    return gallery if isinstance(gallery, Gallery) else opened.enter_context(Gallery.open(gallery))


def _add(
    gallery: Gallery, film: FrameSource, passage: Passage, camera: str, crops: Path | None, report: IngestReport
) -> None:
    """Adds a passage, unless the gallery holds it already, and takes it down."""
    sighting = _make_sighting(passage, film, camera)
    if crops:
        sighting = replace(sighting, address=_save_crops(crops, film, passage, sighting.content))
    known = gallery.engine.known([sighting.content])
    if not known:
        moments = None if film.live else [crop.time for crop in passage.crops]
        gallery.add_pooled(sighting, [crop.image() for crop in passage.crops], moments)
        report.added += 1
        return
    report.known += 1
    for entry in gallery.engine.entries(list(known.values())).values():
        if sighting.address and not entry.sighting.address:
            gallery.engine.update(entry.id, lambda before: replace(before, address=sighting.address))
        another_time = sighting.time is not None and entry.sighting.time != sighting.time
        report.kept_otherwise += entry.sighting.camera_id != camera or another_time


def _make_sighting(passage: Passage, film: FrameSource, camera: str) -> Sighting:
    content = track_content([crop.content for crop in passage.crops])  # differs in another film of the same name
    seconds = {} if film.live else {"seconds": f"{passage.first:.1f}-{passage.last:.1f}"}
    return Sighting(
        content=content,
        camera_id=camera,
        time=film.moment(passage.crops[0].time),
        track_id=f"{film.stem}/{passage.number}/{content[:CONTENT_MARK]}",
        labels={"type": passage.kind, "film": film.name, **seconds},
    )


def _save_crops(folder: Path, film: FrameSource, passage: Passage, content: str) -> str:
    """Writes a passage's crops; gives the path of the best one."""
    name = f"{film.stem}-{passage.number:04d}-{passage.kind}-{content[:CONTENT_MARK]}"
    paths = [folder.resolve() / f"{name}-{place}.png" for place in range(1, 1 + len(passage.crops))]
    for file, crop in zip(paths, passage.crops, strict=True):
        if file.exists():
            _refuse_another(file, crop)
            continue
        with write_file(file) as temporary:
            crop.image().save(temporary)
    return str(paths[0])


def _refuse_another(file: Path, crop: Crop) -> None:
    """Refuses to go on where a file that is there is not the crop: an entry may lead to it."""
    try:
        same = np.array_equal(np.asarray(read_picture(file)), crop.picture)
    except UnreadablePictureError:
        same = False
    if not same:
        raise SamecarError(f"{file} is there already and is not this crop; choose another folder for --crops")
