"""The `samecar export` command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Engine, Json, Place
from samecar.cli.settings import OptionsOf, Spelling

if TYPE_CHECKING:
    from samecar.experiment.export import Export


@examples(
    "samecar export runs/first -o first.onnx",
    "samecar export runs/first --precision int8 --data veri776:VeRi --tolerance 1 -o small.onnx",
    "samecar export runs/first --format openvino --precision bf16 --data veri776:VeRi -o quick.onnx",
)
def export(
    model: Annotated[str, typer.Argument(metavar="RUN|GALLERY", help="run folder, fused or reduced model, or gallery")],
    out: Annotated[Path, typer.Option("-o", "--out", help=".onnx file to write")],
    options: Annotated[
        dict[str, Any],
        OptionsOf(
            "samecar.experiment.export:export",
            {"cosine": Spelling(kind=float)},
            only=("format", "precision", "cosine", "tolerance"),
        ),
    ],
    on: Place,
    source: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="SOURCE", help="pictures to compare mAP on, as NAME:PATH; int8 is calibrated on its train"
        ),
    ] = None,
    engine: Engine = None,
    json: Json = False,
) -> None:
    """Writes a model as one ONNX file, if it does what torch does; the file is taken wherever a run is."""
    from contextlib import nullcontext

    from samecar.experiment.export import export as export_model
    from samecar.hardware import machine
    from samecar.retrieval.gallery import Gallery
    from samecar.retrieval.places import is_gallery

    place = machine(**on)
    manifest = None if source is None else console.open_aloud(source)
    of_gallery = engine is not None or is_gallery(model)
    opening = Gallery.open(model, engine=engine, device=on["device"]) if of_gallery else nullcontext(model)
    with opening as opened, console.progress_bars() as progress:
        made = export_model(opened, out, data=manifest, on=place, progress=progress, **options)
    if json:
        console.print_json(made.as_dict())
    else:
        _print_export(made)


def _print_export(made: "Export") -> None:
    console.say(f"{made.path}: {made.precision}, {made.path.stat().st_size / 1e6:.1f} MB, model {made.digest}")
    console.say(
        f"cosine with torch: {made.cosine:.6f} at least, {made.needed:g} needed, in batches of 1, 3 and 32 of "
        f"{made.data}"
    )
    console.say(
        f"pictures a second: {made.speed.before:.1f} before (torch), {made.speed.after:.1f} now ({made.runner}), "
        "in batches of 32 without reading them"
    )
    if made.mean_average_precisions is not None:
        before, after = (100 * score for score in made.mean_average_precisions)
        console.say(f"mAP: {before:.2f} before, {after:.2f} now ({after - before:+.2f}), by cosine on {made.data}")
