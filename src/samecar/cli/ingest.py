"""`samecar ingest`: the vehicles of a film into a gallery."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from samecar.cli import console
from samecar.cli.gallery import time_of
from samecar.cli.options import Engine, Json


def ingest(
    film: Annotated[Path, typer.Argument(help="film to look for vehicles in, such as an MP4 file")],
    camera: Annotated[str, typer.Option(help="name of the camera that took it")],
    gallery: Annotated[str, typer.Option(help="gallery to add to")],
    detector: Annotated[Path, typer.Option(help="ONNX file in YOLOX form; see docs/films.md")],
    engine: Engine = None,
    start: Annotated[
        str | None, typer.Option(metavar="TIME", help="when the film begins, such as 2026-11-20T07:30:00; UTC")
    ] = None,
    frames_per_second: Annotated[float, typer.Option(help="frames to look at; more for fast traffic")] = 5,
    minimum_confidence: Annotated[float, typer.Option(help="of the detector, above 0 and below 1")] = 0.4,
    minimum_size: Annotated[int, typer.Option(help="pixels of the shorter side of a crop")] = 48,
    classes: Annotated[
        str, typer.Option(help="what counts as a vehicle: COCO's names, or numbers of the detector's own classes")
    ] = "car,motorcycle,bus,truck",
    pool: Annotated[int, typer.Option(help="most crops that a vehicle's embedding is made of")] = 8,
    crops: Annotated[Path | None, typer.Option(help="folder to write those crops into")] = None,
    draw: Annotated[
        Path | None, typer.Option(help="folder to write a frame a second into, with boxes and tracks' numbers")
    ] = None,
    json: Json = False,
) -> None:
    """Finds the vehicles of a film with your own detector, follows each, and adds it to a gallery as one entry.

    The same command again adds only what is missing, also after an interruption.
    """
    from samecar.films import FilmSettings, YoloxDetector
    from samecar.films import ingest as ingest_film
    from samecar.retrieval.gallery import Gallery

    settings = FilmSettings(
        frames_per_second=frames_per_second,
        minimum_confidence=minimum_confidence,
        minimum_size=minimum_size,
        pool=pool,
    )
    begins = time_of("--start", start)
    finds = YoloxDetector.open(detector, [name.strip() for name in classes.split(",")])
    with (
        Gallery.open(gallery, engine=engine) as opened,
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
        )
    for sentence in report.warnings:
        console.warn(sentence)
    if json:
        console.print_json(asdict(report))
        return
    console.say(
        f"{film}: {report.frames:,} frames of {report.seconds:.1f} seconds; vehicles followed: {report.tracks:,}"
    )
    console.say(f"{gallery}: {report.added:,} added, {report.known:,} known already")
    if report.left_out:
        console.say(f"left out because always cut off, or smaller than {minimum_size} pixels: {report.left_out:,}")
