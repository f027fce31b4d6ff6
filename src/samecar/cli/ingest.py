"""`samecar ingest`: the vehicles of a film into a gallery."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.gallery import time_of
from samecar.cli.options import Device, Engine, Json, OptionsOf, Spelling, examples

if TYPE_CHECKING:
    from samecar.films import FilmSettings

Settings = Annotated["FilmSettings", OptionsOf("samecar.films.following:FilmSettings")]
Classes = Annotated[
    dict[str, Any],
    OptionsOf(
        "samecar.films.detection:YoloxDetector.open",
        {"classes": Spelling(kind=str, read=lambda text: [name.strip() for name in text.split(",")], show=",".join)},
        only=("classes",),
    ),
]


Threads = Annotated[
    dict[str, Any], OptionsOf("samecar.films.ingesting:ingest", {"workers": Spelling(low=1)}, only=("workers",))
]


@examples(
    "samecar ingest yard.mov --camera yard --gallery garage --detector yolox.onnx",
    "samecar ingest yard.mov --camera yard --gallery garage --detector yolox.onnx --pool 4 --crops crops",
)
def ingest(
    film: Annotated[Path, typer.Argument(metavar="FILM", help="film to look for vehicles in, such as an MP4 file")],
    camera: Annotated[str, typer.Option(help="name of the camera that took it")],
    gallery: Annotated[str, typer.Option(metavar="GALLERY", help="gallery to add to")],
    detector: Annotated[Path, typer.Option(help="ONNX file in YOLOX form; see docs/films.md")],
    settings: Settings,
    classes: Classes,
    device: Device,
    threads: Threads,
    engine: Engine = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="when the film begins, such as 2026-11-20T07:30:00; UTC")
    ] = None,
    crops: Annotated[Path | None, typer.Option(help="folder to write a vehicle's crops into")] = None,
    draw: Annotated[
        Path | None, typer.Option(help="folder to write a frame a second into, with boxes and tracks' numbers")
    ] = None,
    json: Json = False,
) -> None:
    """Finds the vehicles of a film with your own detector, follows each, and adds it to a gallery as one entry.

    The same command again adds only what is missing, also after an interruption.
    """
    from samecar.films import YoloxDetector
    from samecar.films import ingest as ingest_film
    from samecar.retrieval.filter_names import camera_warnings
    from samecar.retrieval.gallery import Gallery

    begins = time_of("--start", start)
    finds = YoloxDetector.open(detector, **classes)
    with (
        Gallery.open(gallery, engine=engine, **device) as opened,
        console.interruptible("what was added is kept, and the same command adds the rest"),
        console.progress_bars() as progress,
    ):
        report = ingest_film(
            film,
            opened,
            finds,
            camera=camera,
            start=begins,
            settings=settings,
            crops=crops,
            draw=draw,
            progress=progress,
            **threads,
        )
        alike = list(camera_warnings(opened.engine)) if report.added else []
    for sentence in (*report.warnings, *alike):
        console.warn(sentence)
    if json:
        console.print_json(asdict(report))
        return
    console.say(
        f"{film}: {report.frames:,} frames of {report.seconds:.1f} seconds; vehicles followed: {report.tracks:,}"
    )
    console.say(f"{gallery}: {report.added:,} added, {report.known:,} known already")
    if report.left_out:
        console.say(
            f"left out because always cut off, or smaller than {settings.minimum_size} pixels: {report.left_out:,}"
        )
