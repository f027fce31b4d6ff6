"""The commands that make one model of trained ones: fuse and reduce."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Json, Place, RunFolder, Source
from samecar.cli.settings import OptionsOf

if TYPE_CHECKING:
    from samecar.experiment.composite import CompositeModel

Out = Annotated[Path, typer.Option("-o", "--out", help="folder to make; it is taken wherever a run is")]


@examples("samecar fuse runs/first runs/second --data veri776:VeRi -o fused")
def fuse(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="run folders, or fused or reduced models")],
    source: Source,
    out: Out,
    on: Place,
    json: Json = False,
) -> None:
    """Makes one model of several, weighted by what is best on train vehicles that none was trained on."""
    from samecar.experiment.fuse import fuse as fuse_runs
    from samecar.hardware import machine

    manifest = console.open_aloud(source)
    with console.progress_bars() as progress:
        made = fuse_runs(runs, manifest, out, on=machine(**on), progress=progress)
    if json:
        console.print_json(made.facts)
    else:
        _print_fusion(made)


@examples(
    "samecar reduce fused --data veri776:VeRi --size 8 -o reduced",
    "samecar reduce runs/first --data veri776:VeRi --size 8 --whiten -o whitened",
)
def reduce(
    run: RunFolder,
    source: Source,
    size: Annotated[int, typer.Option(min=1, help="numbers in the embeddings afterwards")],
    out: Out,
    whiten: Annotated[dict[str, Any], OptionsOf("samecar.experiment.reduce:reduce", only=("whiten",))],
    on: Place,
    json: Json = False,
) -> None:
    """Makes a model's embeddings shorter by principal components, and says what that costs in mAP."""
    from samecar.experiment.reduce import reduce as reduce_run
    from samecar.hardware import machine

    manifest = console.open_aloud(source)
    with console.progress_bars() as progress:
        made = reduce_run(run, manifest, out, size=size, on=machine(**on), progress=progress, **whiten)
    if json:
        console.print_json(made.facts)
    else:
        _print_reduction(made)


def _print_fusion(made: "CompositeModel") -> None:
    from rich.table import Table

    chosen = made.facts["chosen_on"]
    words = f"{chosen['vehicles']:,} {chosen['kind']}"
    table = Table("model", title=f"mAP on {words}", title_justify="left")
    for heading in ("weight", "mAP"):
        table.add_column(heading, justify="right")
    for part in (*made.facts["parts"], *({**part, "weight": 0} for part in chosen["left_out"])):
        table.add_row(console.cell(part["folder"]), f"{part['weight']:.3g}", f"{100 * part['mAP']:.1f}")
    table.add_row("fused", "", f"{100 * chosen['mAP']:.1f}")
    console.out.print(table)
    console.say(
        f"The fused mAP is the best of {chosen['weights_tried']:,} on the vehicles that the weights were chosen on, so "
        f"it is optimistic; `samecar evaluate {made.folder} --data SOURCE` scores the model on test vehicles."
    )


def _print_reduction(made: "CompositeModel") -> None:
    reduction = made.facts["reduction"]
    measured, before, after = reduction["measured_on"], 100 * reduction["mAP_before"], 100 * reduction["mAP"]
    whitened = ", whitened" if reduction["whiten"] else ""
    console.say(
        f"{made.folder}: from {reduction['width']:,} to {reduction['size']:,} numbers by PCA{whitened}, which keep "
        f"{100 * reduction['variance_kept']:.1f} % of the variance of {reduction['fitted_on']['pictures']:,} train "
        "pictures"
    )
    console.say(
        f"mAP {before:.1f} before, {after:.1f} now ({after - before:+.1f}), on {measured['vehicles']:,} "
        f"{measured['kind']}"
    )
