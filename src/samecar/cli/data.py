"""The `samecar data` commands."""

from pathlib import Path
from typing import Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.options import Json, OptionsOf, Workers, add_command, examples, group_with

data = typer.Typer(
    cls=group_with("samecar data check veri776:VeRi"),
    help="Look at, convert and split sets of pictures.",
    no_args_is_help=True,
)

Source = Annotated[str, typer.Argument(metavar="SOURCE", help="pictures, as NAME:PATH, such as veri776:VeRi")]
Out = Annotated[Path, typer.Option("-o", "--out", help="manifest to write, .csv or .parquet")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="replace a manifest that is there already and holds something else")
]


@examples("samecar data check veri776:VeRi", "samecar data check folder:crops --json")
def check(
    source: Source,
    json: Json = False,
    every: Annotated[bool, typer.Option("--all", help="name all that is found, not only the first few")] = False,
    workers: Workers = None,
) -> None:
    """Sums a source up and says what is wrong with it; the exit status is 1 when something is."""
    from samecar.data import check as check_manifest
    from samecar.data import open_source

    manifest = open_source(source)
    with console.progress_bars() as progress:
        result = check_manifest(manifest, workers=workers, progress=progress)
    if json:
        console.print_json(result.as_dict())
    else:
        console.print_check(result, source, every=every)
    if not result.ok:
        raise typer.Exit(1)


@examples("samecar data convert veri776:VeRi -o veri.csv")
def convert(source: Source, out: Out, overwrite: Overwrite = False) -> None:
    """Writes any source as a manifest, one row a picture; no picture is copied."""
    manifest = console.open_aloud(source)
    manifest.write(out, overwrite=overwrite)
    console.say(f"{out}: {len(manifest)} pictures. Use it as csv:{out}")


@examples('samecar data split "folder:crops/{vehicle_id}_{camera_id}.png" -o split.csv --held-out 0.25')
def split(
    source: Source,
    out: Out,
    seed: Annotated[dict[str, Any], OptionsOf("samecar.data.splitting:split_by_identity", only=("seed",))],
    held_out: Annotated[
        str, typer.Option(help="vehicles for testing: a share such as 0.3, or a number such as 100")
    ] = "0.3",
    query_camera: Annotated[
        list[str] | None,
        typer.Option(
            help="pictures of this camera are the queries, all others the gallery; may be given several times"
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Holds vehicles out for testing: all of a vehicle's pictures are for training, or none is."""
    from samecar.data import open_source, split_by_identity
    from samecar.errors import SamecarError

    try:
        number = float(held_out) if "." in held_out else int(held_out)
    except ValueError:
        raise SamecarError(f"--held-out is {held_out!r}; give a share such as 0.3 or a number such as 100") from None
    manifest = split_by_identity(
        open_source(source), number, **seed, query_cameras=tuple(query_camera) if query_camera else None
    )
    for warning in manifest.warnings:
        console.warn(warning)
    manifest.write(out, overwrite=overwrite)
    counts = ", ".join(f"{count} {name}" for name, count in manifest.split_counts.items())
    console.say(f"{out}: {counts} pictures. Use it as csv:{out}")


for _command in (check, convert, split):
    add_command(data, _command)
