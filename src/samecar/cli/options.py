"""Options that several commands share, and what they mean."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samecar.cli.settings import OptionsOf, Spelling
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from samecar.experiment.composite import TrainedModel
    from samecar.hardware import Speed


def open_model(run: Path, preprocessing: str | None) -> "TrainedModel":
    """What a command is given as a run, after its preprocessing was remembered where that is stated.

    Raises:
        SamecarError: there is none, or what is stated means nothing.
    """
    from samecar.experiment.composite import as_model

    if preprocessing is not None:
        from samecar.embedding.foreign import state_preprocessing

        state_preprocessing(run, preprocessing)
    return as_model(run)


def folder_if_empty(engine: str | None) -> str | None:
    """What `--engine` means: an empty one is none, so that it undoes SAMECAR_ENGINE for one command."""
    return engine or None


def refuse_two_values(given: Iterable[str]) -> None:
    """Refuses NAME=VALUE that stands there twice for one name, as one of the two would be dropped.

    Raises:
        SamecarError: it does.
    """
    known: dict[str, str] = {}
    for text in given:
        name = text.partition("=")[0].strip()
        if name in known:
            raise SamecarError(f"{known[name]} and {text} are both given; give {name} once")
        known[name] = text


def gallery_words(name: str, engine: str | None) -> str:
    """A gallery as a command names it; the server's address, which may hold a password, is left to the reader."""
    return name if engine is None else f"{name} --engine ADDRESS"


@contextmanager
def offer_partial(name: str) -> Iterator[None]:
    """Says how to go on without a server that a gallery is spread over."""
    from samecar.retrieval.engine import MissingPartError

    try:
        yield
    except MissingPartError as error:
        raise SamecarError(f"{error}; or say --partial for what the other servers of {name} hold") from error


Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="change an option of the recipe")
]
Place = Annotated[
    dict[str, Any], OptionsOf("samecar.hardware:machine", {"workers": Spelling(low=0)}, without=("speed",))
]
Quickness = Annotated[
    "Speed",
    OptionsOf(
        "samecar.hardware:Speed",
        {
            "channels_last": "--channels-last/--no-channels-last",
            "fused": "--fused/--no-fused",
            "compile": "--compile/--no-compile",
            "cache": Spelling(metavar="memory|FOLDER"),
        },
    ),
]
Kept = Annotated[
    "Speed", OptionsOf("samecar.hardware:Speed", {"cache": Spelling(metavar="memory|FOLDER")}, only=("cache",))
]
Device = Annotated[dict[str, Any], OptionsOf("samecar.hardware:machine", only=("device",))]
Workers = Annotated[int | None, typer.Option(min=0, help="processes that read pictures; default: one a core")]
Count = Annotated[  # of commands that share their work among processes, as torchrun starts them too
    int | None,
    typer.Option(
        "--processes",
        min=1,
        metavar="N",
        help="processes on this machine that share the work, each with a GPU of its own or a part of the cores; "
        "default: one",
    ),
]
RunFolder = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="run folder of `samecar train`, a fused or reduced model, or an exported one"),
]
Stated = Annotated[
    str | None,
    typer.Option(
        "--preprocessing",
        metavar="HEIGHTxWIDTH:COLOURS",
        help="how an ONNX model of others takes pictures, as in 256x128:imagenet (or half, or none); remembered beside",
    ),
]
Source = Annotated[str, typer.Option("--data", metavar="SOURCE", help="pictures, as NAME:PATH, such as veri776:VeRi")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object on standard output")]
Engine = Annotated[
    str | None,
    typer.Option(
        envvar="SAMECAR_ENGINE",
        show_default=False,
        callback=folder_if_empty,
        help="a server that keeps the gallery, such as postgresql://user@host/database; without it, or where it is "
        "empty, a folder does",
    ),
]
Name = Annotated[str, typer.Argument(metavar="GALLERY", help="folder of the gallery; with --engine its name there")]
Partial = Annotated[
    dict[str, Any], OptionsOf("samecar.retrieval.gallery:Gallery.open", only=("partial",), show_defaults=False)
]
