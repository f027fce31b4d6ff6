"""The `samecar data` commands."""

from pathlib import Path
from typing import Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.commands import add_command, examples, group_with
from samecar.cli.options import Json, Workers
from samecar.cli.settings import OptionsOf, Spelling

data = typer.Typer(
    cls=group_with("samecar data check veri776:VeRi"),
    help="Look at, convert, split, join and crop sets of pictures.",
    no_args_is_help=True,
)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


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
    from samecar.numerals import read_number, read_whole_number

    try:
        number = read_number(held_out) if "." in held_out else read_whole_number(held_out)
    except ValueError:
        raise SamecarError(f"--held-out is {held_out!r}; give a share such as 0.3 or a number such as 100") from None
    if isinstance(number, float) and not 0 < number < 1:
        raise SamecarError(
            f"--held-out is {held_out!r}; a share lies between 0 and 1; give one, or a number such as 100"
        )
    manifest = split_by_identity(
        open_source(source), number, **seed, query_cameras=tuple(query_camera) if query_camera else None
    )
    for warning in manifest.warnings:
        console.warn(warning)
    manifest.write(out, overwrite=overwrite)
    counts = ", ".join(f"{count} {name}" for name, count in manifest.split_counts.items())
    console.say(f"{out}: {counts} pictures. Use it as csv:{out}")


@examples('samecar data join veri776:VeRi "folder:crops/{vehicle_id}_{camera_id}.png" -o both.csv')
def join(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE", help="two or more sets, as NAME:PATH")],
    out: Out,
    same_vehicles: Annotated[
        bool, typer.Option("--same-vehicles", help="vehicles, cameras and tracks of one name are the same in all sets")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Joins sets of pictures to train on all of them; vehicles and cameras of different sets are kept apart."""
    from samecar.data import join_sets

    joined = join_sets(sources, same_vehicles=same_vehicles)
    for warning in joined.warnings:
        console.warn(warning)
    joined.write(out, overwrite=overwrite)
    console.say(f"{out}: {len(joined):,} pictures of {joined.vehicle_count:,} vehicles. Use it as csv:{out}")


@examples(
    "samecar data crop instances.json --frames frames -o crops",
    "samecar data crop gt/gt.txt --frames img1 --camera cam1 -o crops --classes 3 --margin 0.05",
)
def crop(
    boxes: Annotated[
        Path, typer.Argument(metavar="BOXES", help="boxes on frames: COCO's .json, CVAT's .xml or MOTChallenge's .txt")
    ],
    frames: Annotated[
        str, typer.Option(help="folder of the frames, or a pattern such as frames/{camera_id}/{time}.jpg")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="folder to make, for the crops and their pictures.csv")],
    settings: Annotated[
        dict[str, Any],
        OptionsOf(
            "samecar.data.boxes.cropping:crop_boxes",
            {
                "classes": Spelling(kind=str, read=_names, show=",".join, metavar="NAME,…"),
                "minimum_size": Spelling(low=1),
            },
            only=("camera", "classes", "margin", "minimum_size"),
        ),
    ],
) -> None:
    """Cuts vehicles out of full frames, on which somebody has drawn boxes, and writes a manifest of them."""
    from samecar.data.boxes.cropping import TABLE, crop_boxes

    with console.progress_bars() as progress:
        crops = crop_boxes(boxes, frames, out, **settings, progress=progress)
    for warning in crops.warnings:
        console.warn(warning)
    console.say(f"{out}: {len(crops):,} crops of {crops.vehicle_count:,} vehicles. Use them as csv:{out / TABLE}")


for _command in (check, convert, split, join, crop):
    add_command(data, _command)
