"""Options that several commands share."""

from typing import Annotated

import typer


def folder_if_empty(engine: str | None) -> str | None:
    """What `--engine` means: an empty one is none, so that it undoes SAMECAR_ENGINE for one command."""
    return engine or None


def gallery_words(name: str, engine: str | None) -> str:
    """A gallery as a command names it; the server's address, which may hold a password, is left to the reader."""
    return name if engine is None else f"{name} --engine ADDRESS"


Source = Annotated[str, typer.Option("--data", metavar="SOURCE", help="pictures, as NAME:PATH, such as veri776:VeRi")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="processes that read pictures; default: one a core, at most 8")
]
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
