"""The `samecar serve` command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Device, Engine
from samecar.cli.settings import OptionsOf, Spelling
from samecar.cli.watch import Events
from samecar.errors import missing_library

if TYPE_CHECKING:
    from samecar.serving.settings import ServiceSettings

Limits = Annotated[
    "ServiceSettings",
    OptionsOf(
        "samecar.serving.settings:ServiceSettings",
        {
            "host_names": "--host-name",
            "bytes": "--max-bytes",
            "pixels": "--max-pixels",
            "top": "--max-top",
            "proxy": Spelling(metavar="ADDRESS"),
        },
        without=("name", "token"),
    ),
]


@examples(
    "samecar serve garage",
    "samecar serve garage --port 0 --read-only --max-top 50",
    "samecar serve garage --processes 4",
)
def serve(
    gallery: Annotated[str, typer.Argument(metavar="GALLERY", help="folder, or with --engine a name on that server")],
    limits: Limits,
    device: Device,
    events: Events,
    engine: Engine = None,
    token_file: Annotated[
        Path | None, typer.Option(help="file with the token that clients must send; or set SAMECAR_TOKEN")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="processes that share the clients, each with a model and an index of its own and a part of the cores; "
            "default: one",
        ),
    ] = None,
) -> None:
    """Serves a gallery over HTTP, with a web page to search it."""
    try:
        from samecar.cli.serving_together import Served, serve_alone, serve_together
        from samecar.serving.originals import Originals
        from samecar.serving.settings import read_token, warn_of_token
    except ModuleNotFoundError as error:
        raise missing_library("serving needs", str(error.name), None) from error

    name = Path(gallery).resolve().name if engine is None else gallery
    settings = limits.model_copy(update={"name": name, "token": read_token(token_file)})
    if settings.originals is not None:
        Originals(settings.originals, settings.bytes)  # refused before it is said that the gallery is served
    if warning := warn_of_token(token_file):
        console.warn(warning)
    served = Served(gallery, engine, device, settings, events)
    if processes is None or processes == 1:
        serve_alone(served)
    else:
        serve_together(served, processes)
