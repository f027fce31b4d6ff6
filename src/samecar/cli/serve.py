"""The `samecar serve` command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Device, Engine
from samecar.cli.settings import OptionsOf, Spelling
from samecar.cli.watch import Events, announcing
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


@examples("samecar serve garage", "samecar serve garage --port 0 --read-only --max-top 50")
def serve(
    gallery: Annotated[str, typer.Argument(metavar="GALLERY", help="folder, or with --engine a name on that server")],
    limits: Limits,
    device: Device,
    events: Events,
    engine: Engine = None,
    token_file: Annotated[
        Path | None, typer.Option(help="file with the token that clients must send; or set SAMECAR_TOKEN")
    ] = None,
) -> None:
    """Serves a gallery over HTTP, with a web page to search it."""
    try:
        from samecar.serving.app import listen, run_service
        from samecar.serving.guard import address_name
        from samecar.serving.settings import read_token, warn_of_token
    except ModuleNotFoundError as error:
        raise missing_library("serving needs", str(error.name), None) from error
    from samecar.retrieval.gallery import Gallery

    name = Path(gallery).resolve().name if engine is None else gallery
    settings = limits.model_copy(update={"name": name, "token": read_token(token_file)})
    if warning := warn_of_token(token_file):
        console.warn(warning)
    with (
        Gallery.open(gallery, engine=engine, **device) as opened,
        listen(settings) as listening,
        announcing(opened, events),
    ):
        address = f"http://{address_name(settings.host)}:{listening.getsockname()[1]}/"
        console.say(f"Serving {gallery} at {address} until Ctrl+C")
        run_service(opened, settings, listening)
