"""The `samecar serve` command."""

from pathlib import Path
from typing import Annotated

import typer

from samecar.cli import console
from samecar.cli.options import Device, Engine
from samecar.errors import missing_library


def serve(
    gallery: Annotated[str, typer.Argument(metavar="GALLERY", help="folder, or with --engine a name on that server")],
    engine: Engine = None,
    host: Annotated[str, typer.Option(help="address to listen on; any but loopback needs a token")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="to listen on; 0 takes a free one")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="file with the token that clients must send; or set SAMECAR_TOKEN")
    ] = None,
    host_names: Annotated[
        list[str] | None, typer.Option("--host-name", help="name that may be asked for without a token")
    ] = None,
    proxy: Annotated[str, typer.Option(metavar="ADDRESS", help="of a reverse proxy, believed on who asks")] = "",
    max_bytes: Annotated[int, typer.Option(min=1, help="largest body of a request")] = 10_000_000,
    max_pixels: Annotated[int, typer.Option(min=1, help="largest picture")] = 25_000_000,
    max_top: Annotated[int, typer.Option(min=1, help="most results of a search")] = 100,
    rate: Annotated[int, typer.Option(min=0, help="requests a second by one address; 0 does not limit them")] = 50,
    waiting: Annotated[int, typer.Option(min=1, help="requests in progress at a time; more are turned away")] = 128,
    read_only: Annotated[bool, typer.Option("--read-only", help="let nobody add, change, remove or judge")] = False,
    device: Device = "auto",
) -> None:
    """Serves a gallery over HTTP, with a web page to search it."""
    try:
        from samecar.serving.app import listen, run_service
        from samecar.serving.guard import address_name
        from samecar.serving.settings import ServiceSettings, read_token
    except ModuleNotFoundError as error:
        raise missing_library("serving needs", str(error.name), "serve") from error
    from samecar.retrieval.gallery import Gallery

    settings = ServiceSettings(
        name=Path(gallery).resolve().name if engine is None else gallery,
        host=host,
        port=port,
        token=read_token(token_file),
        host_names=tuple(host_names or ()),
        proxy=proxy,
        bytes=max_bytes,
        pixels=max_pixels,
        top=max_top,
        rate=rate,
        waiting=waiting,
        read_only=read_only,
    )
    with Gallery.open(gallery, engine=engine, device=device) as opened, listen(settings) as listening:
        console.say(f"Serving {gallery} at http://{address_name(host)}:{listening.getsockname()[1]}/ until Ctrl+C")
        run_service(opened, settings, listening)
