"""The `samecar search` command."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.gallery import Allowed, Name
from samecar.cli.options import Device, Engine, Json, OptionsOf, Spelling, examples
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from PIL import Image

    from samecar.retrieval.gallery import Answer, Found, Gallery
    from samecar.retrieval.records import Filter

NUMBERS = ("rank", "like", "same", "id")
"""Columns that are set to the right: 'like' is the similarity, 'same' the probability of the same vehicle."""

TEXTS = ("camera", "vehicle", "address")
"""Columns that may be long, and then take several lines."""

ID = "id:"
"""Begins a query that is a stored picture's number."""


Top = Annotated[
    dict[str, Any], OptionsOf("samecar.retrieval.gallery:Gallery.search", {"top": Spelling(low=1)}, only=("top",))
]


@examples(
    "samecar search garage crops/v1_c1.png --top 5", "samecar search garage id:3 --not-camera gate --save found.png"
)
def search(
    name: Name,
    picture: Annotated[str, typer.Argument(metavar="PICTURE", help="a picture of a vehicle, or id:42, a stored one")],
    allowed: Allowed,
    top: Top,
    device: Device,
    save: Annotated[Path | None, typer.Option(help=".png to draw query and findings into")] = None,
    engine: Engine = None,
    json: Json = False,
) -> None:
    """Finds the pictures of a gallery that are most like a picture."""
    from samecar.retrieval.filter_names import filter_warnings
    from samecar.retrieval.gallery import Gallery

    if save is not None and save.suffix != ".png":
        raise SamecarError(f"--save is {save}; its name must end in .png")
    with Gallery.open(name, engine=engine, **device) as opened:
        for warning in filter_warnings(opened.engine, allowed):
            console.warn(warning)
        answer, query = _ask(opened, picture, top["top"], allowed)
        if save is not None:
            _draw(opened, query, answer, save)
    if json:
        console.print_json(_as_dict(picture, answer))
    else:
        _print_answer(answer)
    if save is not None and not json:
        console.say(f"Drawn: {save}")


def _ask(gallery: "Gallery", picture: str, top: int, allowed: "Filter") -> "tuple[Answer, Image.Image | None]":
    """The answer, and the query to be drawn."""
    from samecar.data.pictures import read_picture

    if not picture.startswith(ID):
        query = read_picture(Path(picture), gallery.model.preprocessing.decoded_size)
        return gallery.search([query], top, allowed)[0], query
    digits = picture.removeprefix(ID)
    if not (digits.isascii() and digits.isdigit()):
        raise SamecarError(f"picture {picture!r} names no stored picture; write its number, as in id:42")
    return gallery.search_like(int(digits), top, allowed), _thumbnail(gallery, int(digits))


def _thumbnail(gallery: "Gallery", number: int) -> "Image.Image | None":
    from samecar.data.pictures import decode_picture

    content = gallery.engine.thumbnail(number)
    return None if content is None else decode_picture(content, f"id:{number}")


def _draw(gallery: "Gallery", query: "Image.Image | None", answer: "Answer", path: Path) -> None:
    from samecar.files import write_file
    from samecar.notebook import visible
    from samecar.report.sheets import FoundPicture, found_figure
    from samecar.retrieval.times import known_time_text

    pictures = []
    for found in answer.found:
        sighting = found.entry.sighting
        lines = (sighting.camera_id, known_time_text(sighting.time), sighting.vehicle_id)
        heading = f"{found.similarity:.3f}"
        texts = tuple(visible(line) for line in lines if line)
        pictures.append(FoundPicture(_thumbnail(gallery, found.entry.id), heading, texts))
    with write_file(path) as temporary:
        found_figure(query, pictures).savefig(temporary)


def _print_answer(answer: "Answer") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    if not answer.found:
        console.say("No picture fits.")
        return
    folder = _common_folder([found.entry.sighting.address for found in answer.found])
    rows = [_cells(rank, found, folder) for rank, found in enumerate(answer.found, 1)]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)  # so that addresses have room in 80 columns
    shown = [heading for heading in rows[0] if any(row[heading] for row in rows)]
    for heading in shown:
        table.add_column(
            heading, justify="right" if heading in NUMBERS else "left", no_wrap=heading not in TEXTS, overflow="fold"
        )
    for row in rows:
        table.add_row(*(row[heading] for heading in shown))
    console.out.print(table)
    if folder:
        console.say(f"Addresses are below {folder}")
    if "same" in shown:
        console.say("'same' holds if it was 50 % before; that few of many pictures show the vehicle it does not know.")
    console.say(_verdict(answer))


def _cells(rank: int, found: "Found", folder: str) -> dict[str, str]:
    from samecar.retrieval.times import known_time_text

    sighting = found.entry.sighting
    return {
        "rank": str(rank),
        "like": f"{found.similarity:.3f}",
        "same": "" if found.probability is None else console.probability(found.probability),
        "id": str(found.entry.id),
        "camera": console.cell(sighting.camera_id),
        "time (UTC)": (known_time_text(sighting.time) or "").removesuffix("Z").replace("T", " "),
        "vehicle": console.cell(sighting.vehicle_id),
        "address": console.cell(sighting.address.removeprefix(folder)),
    }


def _common_folder(addresses: list[str]) -> str:
    """The folder, with a slash at its end, that all addresses lie in; "" if there is none."""
    paths = [Path(address) for address in addresses]
    if not all(path.is_absolute() for path in paths):
        return ""
    return os.path.join(os.path.commonpath([path.parent for path in paths]), "")  # noqa: PTH118 - ends in a slash


def _verdict(answer: "Answer") -> str:
    if answer.in_gallery is None or answer.threshold is None or answer.false_alarm_rate is None:
        return "Whether the vehicle is in the gallery at all is not known; `samecar calibrate` makes it so."
    said = "The vehicle is probably in the gallery" if answer.in_gallery else "No sure match in the gallery"
    return (
        f"{said}: the best is {answer.found[0].similarity:.3f}, the threshold {answer.threshold:.3f}; of "
        f"vehicles that a gallery lacks, {100 * answer.false_alarm_rate:g} % are still said to be in it."
    )


def _as_dict(picture: str, answer: "Answer") -> dict[str, Any]:
    from samecar.retrieval.times import known_time_text

    results = []
    for found in answer.found:
        sighting = found.entry.sighting
        results.append(
            {
                "id": found.entry.id,
                "similarity": found.similarity,
                "probability": found.probability,
                "camera_id": sighting.camera_id,
                "time": known_time_text(sighting.time),
                "track_id": sighting.track_id,
                "vehicle_id": sighting.vehicle_id,
                "labels": dict(sighting.labels),
                "address": sighting.address,
            }
        )
    verdict = {
        "in_gallery": answer.in_gallery,
        "threshold": answer.threshold,
        "false_alarm_rate": answer.false_alarm_rate,
    }
    return {"query": picture, "results": results, "verdict": verdict}
