"""The `samecar search` command."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.gallery import Allowed, standard_input
from samecar.cli.options import Device, Engine, Json, Name, Partial, offer_partial
from samecar.cli.settings import OptionsOf, Spelling
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from samecar.retrieval.answers import Answer
    from samecar.retrieval.gallery import Gallery
    from samecar.retrieval.queries import Outcome, Query, SameOutcome

SUFFIX = ".png"
"""Ends the name of a file that an answer is drawn into."""

Asked = Annotated[
    dict[str, Any],
    OptionsOf("samecar.retrieval.gallery:Gallery.search", {"top": Spelling(low=1)}, only=("top", "prior")),
]


@examples(
    "samecar search garage crops/v1_c1.png --top 5",
    "samecar search garage id:3 --not-camera gate --save found.png",
    "samecar search garage crops --top 1 --json",
    "samecar search garage a.jpg b.jpg --same",
    "samecar search garage crops/v1_c1.png --prior 0.9",
)
def search(
    name: Name,
    picture: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURE",
            help="a picture of a vehicle, a folder of them, id:42, a stored one, or - for such names on standard input",
        ),
    ],
    allowed: Allowed,
    asked: Asked,
    device: Device,
    partial: Partial,
    same: Annotated[bool, typer.Option("--same", help="all pictures are views of one vehicle: one answer")] = False,
    save: Annotated[
        Path | None, typer.Option(help=".png to draw query and findings into; of several queries a folder")
    ] = None,
    engine: Engine = None,
    json: Json = False,
) -> None:
    """Finds the pictures of a gallery that are most like a picture, or like each of several."""
    from samecar.retrieval.filter_names import filter_warnings
    from samecar.retrieval.gallery import Gallery
    from samecar.retrieval.queries import find_queries, is_several, search_each, search_same

    several = is_several(picture) and not same
    _refuse_save(save, several)
    queries = find_queries(picture, standard_input())
    with (
        offer_partial(name),
        Gallery.open(name, engine=engine, **device, **partial) as opened,
        console.interruptible(),
    ):
        for warning in filter_warnings(opened.engine, allowed):
            console.warn(warning)
        if same:
            _show_same(opened, search_same(opened, queries, allowed=allowed, **asked), save, json)
        elif several:
            _show_each(opened, search_each(opened, queries, allowed=allowed, **asked), save, json)
        else:
            (outcome,) = search_each(opened, queries, allowed=allowed, **asked)
            _show_one(opened, outcome, save, json)


def _refuse_save(save: Path | None, several: bool) -> None:
    if save is None:
        return
    if several and save.suffix == SUFFIX:
        raise SamecarError(f"--save is {save}, and there are several queries; name a folder, or say --same")
    if not several and save.suffix != SUFFIX:
        raise SamecarError(f"--save is {save}; its name must end in {SUFFIX}")


def _show_one(gallery: "Gallery", outcome: "Outcome", save: Path | None, json: bool) -> None:
    if outcome.answer is None:
        raise SamecarError(outcome.query.fault)
    _show_answer(gallery, outcome.query, outcome.query.name, outcome.answer, save, json)


def _show_same(gallery: "Gallery", outcome: "SameOutcome", save: Path | None, json: bool) -> None:
    for view in outcome.unreadable:
        console.warn(f"left out: {view.fault}")
    names = [view.name for view in outcome.views]
    _show_answer(gallery, outcome.views[0], names, outcome.answer, save, json)


def _show_answer(
    gallery: "Gallery", query: "Query", names: str | list[str], answer: "Answer", save: Path | None, json: bool
) -> None:
    from samecar.cli.answers import describe_answer, draw_answer, print_answer

    if save is not None:
        draw_answer(gallery, query, answer, save)
    _warn_of_missing(gallery)
    if json:
        console.print_json({**describe_answer(names, answer), **_missing(gallery)})
        return
    print_answer(answer)
    if save is not None:
        console.say(f"Drawn: {save}")


def _missing(gallery: "Gallery") -> dict[str, list[str]]:
    """What JSON says of servers without which the answers were found."""
    return {"missing": gallery.missing} if gallery.missing else {}


def _warn_of_missing(gallery: "Gallery") -> None:
    for sentence in gallery.missing:
        console.warn(sentence)


def _show_each(gallery: "Gallery", outcomes: "Iterable[Outcome]", save: Path | None, json: bool) -> None:
    from samecar.cli.answers import describe_answer, print_answers

    every = _take_note(gallery, outcomes, save)
    if json:
        told = [
            {"query": outcome.query.name, "error": outcome.query.fault}
            if outcome.answer is None
            else describe_answer(outcome.query.name, outcome.answer)
            for outcome in every
        ]
        _warn_of_missing(gallery)
        console.print_json({"queries": told, **_missing(gallery)})
        return
    print_answers((outcome.query.name, outcome.answer) for outcome in every if outcome.answer is not None)
    _warn_of_missing(gallery)
    if save is not None:
        console.say(f"Drawn: one {SUFFIX} for each query in {save}")


def _take_note(gallery: "Gallery", outcomes: "Iterable[Outcome]", save: Path | None) -> "Iterator[Outcome]":
    """Gives the same outcomes; draws answers into a folder, and warns of files that cannot be read.

    Raises:
        SamecarError: none can be read.
    """
    from samecar.cli.answers import draw_answer
    from samecar.files import make_folder

    if save is not None:
        make_folder(save)
    answered = False
    for number, outcome in enumerate(outcomes, 1):
        answered = answered or outcome.answer is not None
        if outcome.answer is None:
            console.warn(f"left out: {outcome.query.fault}")
        elif save is not None:
            stem = Path(outcome.query.name.replace(":", "-")).stem
            draw_answer(gallery, outcome.query, outcome.answer, save / f"{number:04d}-{stem}{SUFFIX}")
        yield outcome
    if not answered:
        raise SamecarError("no picture can be read; the warnings say why")
