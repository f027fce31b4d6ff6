"""What `samecar search` shows of answers: tables, JSON, and drawn sheets."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samecar.cli import console

if TYPE_CHECKING:
    from PIL import Image

    from samecar.retrieval.answers import Answer, Found
    from samecar.retrieval.gallery import Gallery
    from samecar.retrieval.queries import Query

NUMBERS = ("rank", "like", "same", "id")
"""Columns that are set to the right: 'like' is the similarity, 'same' the probability of the same vehicle."""

TEXTS = ("camera", "vehicle", "address")
"""Columns that may be long, and then take several lines."""

NOTHING = "No picture fits"
LIKELY, UNSURE = "The vehicle is probably in the gallery", "No sure match in the gallery"
"""What an answer says in a few words."""

ITSELF = "1.000"
"""How the similarity of a picture to itself is shown."""

UNKNOWN = "Whether the vehicle is in the gallery at all is not known; `samecar calibrate` makes it so."


def print_answer(answer: "Answer") -> None:
    """Prints what one query found."""
    if not answer.found:
        console.say(f"{NOTHING}.")
        return
    _print_table(answer)
    for sentence in (*_notes(answer), _verdict(answer)):
        console.say(sentence)


def print_answers(answers: "Iterable[tuple[str, Answer]]") -> None:
    """Prints what each of several queries found, under its name; what holds for all of them once, in the end."""
    notes: dict[str, None] = {}
    for name, answer in answers:
        console.say(name)
        if not answer.found:
            console.say(f"{NOTHING}.\n")
            continue
        _print_table(answer)
        verdict = _verdict(answer)
        console.say("" if verdict == UNKNOWN else f"{verdict}\n")
        notes |= dict.fromkeys(_notes(answer)) | ({UNKNOWN: None} if verdict == UNKNOWN else {})
    for sentence in notes:
        console.say(sentence)


def _print_table(answer: "Answer") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

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


def _notes(answer: "Answer") -> list[str]:
    """What has to be known of the numbers that are shown."""
    prior = answer.prior
    if prior is None:
        return []
    said = f"{console.probability(prior.in_gallery)}{', as stated,' if prior.stated else ''}"
    vehicles = "1 vehicle" if prior.vehicles < 1.5 else f"{prior.vehicles:,.0f} vehicles"
    sentence = (
        f"Before looking it was {said} that the gallery has the vehicle, and it could be each of {vehicles} there (by "
        f"{prior.source}); 'same' counts from there."
    )
    if f"{answer.found[0].similarity:.3f}" == ITSELF:
        return [sentence, f"A likeness of {ITSELF} is nearly always the very same picture; 'same' cannot know that."]
    return [sentence]


def _cells(rank: int, found: "Found", folder: str) -> dict[str, str]:
    sighting = found.entry.sighting
    return {
        "rank": str(rank),
        "like": f"{found.similarity:.3f}",
        "same": "" if found.probability is None else console.probability(found.probability),
        "id": str(found.entry.id),
        "camera": console.cell(sighting.camera_id),
        "time (UTC)": " ".join(_day_and_time(sighting.time)).strip(),
        "vehicle": console.cell(sighting.vehicle_id),
        "address": console.cell(sighting.address.removeprefix(folder)),
    }


def _day_and_time(seconds: float | None) -> tuple[str, str]:
    """Both in UTC; "" where the time is not known."""
    from samecar.retrieval.times import known_time_text

    day, _, time = (known_time_text(seconds) or "").removesuffix("Z").partition("T")
    return day, time.rstrip("0") if "." in time else time


def _common_folder(addresses: list[str]) -> str:
    """The folder, with a slash at its end, that all addresses lie in; "" if there is none."""
    paths = [Path(address) for address in addresses]
    if not all(path.is_absolute() for path in paths):
        return ""
    return os.path.join(os.path.commonpath([path.parent for path in paths]), "")  # noqa: PTH118 - ends in a slash


def _headline(answer: "Answer") -> str:
    """What an answer says in one line; "" without a calibration."""
    if not answer.found:
        return NOTHING
    if answer.in_gallery is None or answer.probability is None:
        return ""
    return f"{LIKELY if answer.in_gallery else UNSURE} ({console.probability(answer.probability)} that it is there)"


def _verdict(answer: "Answer") -> str:
    headline = _headline(answer)
    if not headline:
        return UNKNOWN
    best = f"the best is {answer.found[0].similarity:.3f}"
    if answer.threshold is None or answer.false_alarm_rate is None:
        return f"{headline}: {best}."
    return (
        f"{headline}: {best}, the threshold {answer.threshold:.3f}; of vehicles that a gallery lacks, "
        f"{100 * answer.false_alarm_rate:g} % at most are still said to be in it."
    )


def describe_answer(query: str | list[str], answer: "Answer") -> dict[str, Any]:
    """What a query found, for a program.

    Args:
        query: its name, or the names of the views that it is made of.
        answer: what was found.
    """
    from samecar.retrieval.times import known_time_text

    results = []
    for found in answer.found:
        sighting = found.entry.sighting
        results.append(
            {
                "id": found.entry.id,
                "similarity": found.similarity,
                "probability": found.probability,
                "pair_probability": found.pair_probability,
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
        "probability": answer.probability,
        "prior": None if answer.prior is None else vars(answer.prior),
    }
    return {"query": query, "results": results, "verdict": verdict}


def draw_answer(gallery: "Gallery", query: "Query", answer: "Answer", path: Path) -> None:
    """Draws a query and what it found into a file."""
    from samecar.files import write_file
    from samecar.notebook import visible
    from samecar.report.sheets import FoundPicture, found_figure

    pictures = []
    for found in answer.found:
        sighting = found.entry.sighting
        day, time = _day_and_time(sighting.time)
        lines = (sighting.camera_id, day, time and f"{time} UTC", sighting.vehicle_id)
        heading = f"{found.similarity:.3f}"
        if found.probability is not None:
            heading += f" · {console.probability(found.probability)}"
        texts = tuple(visible(line) for line in lines if line)
        pictures.append(FoundPicture(_thumbnail(gallery, found.entry.id), heading, texts))
    shown = query.picture if query.id is None else _thumbnail(gallery, query.id)
    with write_file(path) as temporary:
        found_figure(shown, pictures, _headline(answer)).savefig(temporary)


def _thumbnail(gallery: "Gallery", number: int) -> "Image.Image | None":
    from samecar.data.pictures import decode_picture

    content = gallery.engine.thumbnail(number)
    return None if content is None else decode_picture(content, f"id:{number}")
