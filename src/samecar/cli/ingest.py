"""`samecar ingest`: the vehicles of films, of frames or of a camera into a gallery."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.gallery import time_of
from samecar.cli.options import Device, Engine, Json
from samecar.cli.settings import OptionsOf, Spelling
from samecar.cli.watch import Events, announcing
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from samecar.films import FilmSettings, FrameSource, FrameTimes, IngestReport


def _class_names(text: str) -> tuple[str, ...]:
    from samecar.films.detectors.class_names import read_names

    return read_names(text)


Settings = Annotated["FilmSettings", OptionsOf("samecar.films.following:FilmSettings")]
Classes = Annotated[
    dict[str, Any],
    OptionsOf(
        "samecar.films.detectors.opening:open_detector",
        {
            "classes": Spelling(kind=str, read=lambda text: [name.strip() for name in text.split(",")], show=",".join),
            "class_names": Spelling(kind=str, read=_class_names, metavar="coco|NAMES|FILE"),
        },
        only=("classes", "class_names"),
    ),
]
Times = Annotated[
    "FrameTimes",
    OptionsOf("samecar.films.sources.folder:FrameTimes", {"times": Spelling(metavar="name|modified|TABLE|RATE")}),
]
Threads = Annotated[
    dict[str, Any], OptionsOf("samecar.films.ingesting:ingest", {"workers": Spelling(low=1)}, only=("workers",))
]


BY_NAME = "name"
"""What `--start` says where each film's name tells when it begins."""


@examples(
    "samecar ingest yard.mov --camera yard --gallery garage --detector yolox.onnx",
    "samecar ingest yard.mov --camera yard --gallery garage --detector yolox.onnx --pool 4 --crops crops",
)
def ingest(
    films: Annotated[
        list[str],
        typer.Argument(
            metavar="FILM",
            help="films to look for vehicles in, such as MP4 files, folders of frames, or one address of a camera, "
            "rtsp://… or http://…, that is watched until Ctrl+C",
        ),
    ],
    camera: Annotated[
        list[str],
        typer.Option(help="name of the camera that took them; or once for each film in their order"),
    ],
    gallery: Annotated[str, typer.Option(metavar="GALLERY", help="gallery to add to")],
    detector: Annotated[Path, typer.Option(help="ONNX file of YOLOX, YOLOv8/11, RT-DETR or D-FINE; see docs/films.md")],
    settings: Settings,
    times: Times,
    classes: Classes,
    device: Device,
    threads: Threads,
    events: Events,
    engine: Engine = None,
    start: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIME",
            help="when the film begins, such as 2026-11-20T07:30:00; UTC; once for each film in their order, or "
            "`name` where their names tell it, as gate_20261120_073000.mp4 does",
        ),
    ] = None,
    crops: Annotated[Path | None, typer.Option(help="folder to write a vehicle's crops into")] = None,
    draw: Annotated[
        Path | None, typer.Option(help="folder to write a frame a second into, with boxes and tracks' numbers")
    ] = None,
    json: Json = False,
) -> None:
    """Finds the vehicles of films or of a camera with your own detector, follows each, and adds it as one entry.

    The same command again adds only what is missing, also after an interruption. A camera is watched until Ctrl+C or
    SIGTERM, and its entries have the time at which they were seen.
    """
    from samecar.addresses import is_address
    from samecar.films import ingest as ingest_film
    from samecar.films import open_detector, open_frames
    from samecar.retrieval.filter_names import camera_warnings
    from samecar.retrieval.gallery import Gallery

    begins, names = _starts(films, start), _camera_names(films, camera)
    finds = open_detector(detector, **classes)
    workers = threads["workers"]
    for film, begin in zip(films[1:], begins[1:], strict=True):  # the last one is not found missing after hours
        with open_frames(film, begin, times, workers):
            pass
    reports: list[IngestReport] = []
    with Gallery.open(gallery, engine=engine, **device) as opened, announcing(opened, events, json):
        if is_address(films[0]):
            _ = opened.model  # read before, since a camera films on meanwhile
        for film, begin, name in zip(films, begins, names, strict=True):
            with (
                open_frames(film, begin, times, workers) as source,
                _interruptible(source),
                console.progress_bars() as progress,
            ):
                report = ingest_film(
                    source,
                    opened,
                    finds,
                    camera=name,
                    settings=settings,
                    crops=crops,
                    draw=draw,
                    progress=progress,
                    notify=console.warn,
                )
            reports.append(report)
            for sentence in report.warnings:
                console.warn(sentence)
            if not json:
                _print_report(film if not source.live else report.film, report)
        if any(report.added for report in reports):
            for sentence in camera_warnings(opened.engine):
                console.warn(sentence)
        if json:
            every = [asdict(report) for report in reports]
            console.print_json(every[0] if len(every) == 1 else {"films": every})
        else:
            _print_sums(gallery, reports, settings.minimum_size)


def _print_sums(gallery: str, reports: Sequence["IngestReport"], minimum_size: int) -> None:
    added, known = (sum(getattr(report, name) for report in reports) for name in ("added", "known"))
    console.say(f"{gallery}: {added:,} added, {known:,} known already")
    if left_out := sum(report.left_out for report in reports):
        console.say(f"left out because always cut off, or smaller than {minimum_size} pixels: {left_out:,}")


def _starts(films: Sequence[str], given: Sequence[str] | None) -> list[float | None]:
    """When each film begins.

    Raises:
        SamecarError: times were not given for each film, a name tells none, or a camera is given beside others.
    """
    from samecar.addresses import is_address, shown_address
    from samecar.retrieval.times import find_time

    if len(films) > 1 and (cameras := [film for film in films if is_address(film)]):
        raise SamecarError(
            f"{shown_address(cameras[0])} is given beside other films, and is watched without end; give it alone, and "
            "watch each camera by a command of its own"
        )
    if not given:
        return [None] * len(films)
    if list(given) == [BY_NAME]:
        found = [find_time(Path(film).stem) for film in films]
        if None in found:
            raise SamecarError(
                f"--start is name, and the name of {films[found.index(None)]} tells no moment, such as "
                "gate_20261120_073000.mp4; say --start once for each film, in their order"
            )
        return found
    if len(given) != len(films):
        raise SamecarError(
            f"--start is given {len(given)} times for {len(films)} films; say it once for each, in their order, or say "
            "--start name where their names tell it"
        )
    return [time_of("--start", text) for text in given]


def _camera_names(films: Sequence[str], given: Sequence[str]) -> Sequence[str]:
    """Who took each film.

    Raises:
        SamecarError: names were given neither once nor for each film, or one is empty.
    """
    from samecar.films.ingesting import check_camera

    for name in given:
        check_camera(name)
    if len(given) not in (1, len(films)):
        raise SamecarError(
            f"--camera is given {len(given)} times for {len(films)} films; say it once for all, or once for each, in "
            "their order"
        )
    return given if len(given) == len(films) else [*given] * len(films)


@contextmanager
def _interruptible(source: "FrameSource") -> Iterator[None]:
    """Lets Ctrl+C interrupt a film; Ctrl+C or SIGTERM end a camera's stream, after what has been seen was added."""
    from samecar.films import Stream

    if not isinstance(source, Stream):
        with console.interruptible("what was added is kept, and the same command adds the rest"):
            yield
        return
    with console.interruptible("what was added is kept"), ending_on_signals(source.stop):
        yield


@contextmanager
def ending_on_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Calls `stop` at the first Ctrl+C or SIGTERM; a second one does what it always does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        restore()
        stop()

    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        restore()


def _print_report(film: str, report: "IngestReport") -> None:
    lost = (
        f"; found again after its connection was lost: {report.reconnections:,} times" if report.reconnections else ""
    )
    dropped = f"; left out, as finding vehicles took too long: {report.dropped:,}" if report.dropped else ""
    console.say(
        f"{film}: {report.frames:,} frames of {report.seconds:.1f} seconds{dropped}{lost}; vehicles followed: "
        f"{report.tracks:,}"
    )
