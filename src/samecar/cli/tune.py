"""The command `samecar tune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Changes, Json, Place, Source, refuse_two_values
from samecar.cli.settings import OptionsOf

if TYPE_CHECKING:
    from samecar.experiment.tuning.tune import TuneOptions, Tuning

SHOWN = 5
"""Trials that are printed; `--json` has all."""


@examples(
    "samecar tune small-set --data veri776:VeRi -o study --over optimizer.learning_rate=1e-5..1e-3:log",
    "samecar tune small-set --data veri776:VeRi -o study --over model.pooling=average,gem --over batch.size=16..64:16",
)
def tune(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="a shipped recipe's name or a TOML file")],
    source: Source,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder of the study; one that is there goes on")],
    options: Annotated["TuneOptions", OptionsOf("samecar.experiment.tuning.tune:TuneOptions")],
    on: Place,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OPTION=VALUES",
            help="what to search: LOW..HIGH, LOW..HIGH:log, LOW..HIGH:STEP or A,B,C; may be given several times",
        ),
    ] = None,
    changes: Changes = None,
    json: Json = False,
) -> None:
    """Searches for better options of a recipe, on train vehicles that are held out."""
    from samecar.experiment.tuning.tune import tune as tune_recipe
    from samecar.hardware import machine

    refuse_two_values(changes or ())
    manifest = console.open_aloud(source)
    left = f"what has ended is kept, and the same command goes on; {out} is the study"
    with console.interruptible(left), console.progress_bars() as progress:
        found = tune_recipe(
            recipe, manifest, out, over or (), options, changes=changes or (), on=machine(**on), progress=progress
        )
    if json:
        console.print_json(found.as_dict())
    else:
        _print(found)


def _print(found: "Tuning") -> None:
    from rich.table import Table

    table = Table("trial", title=f"mAP on {found.vehicles:,} held-out train vehicles", title_justify="left")
    table.add_column("mAP", justify="right")
    table.add_column("what was changed")
    ranked = sorted(
        (trial for trial in found.trials if trial.score is not None), key=lambda trial: trial.score or 0, reverse=True
    )
    for trial in ranked[:SHOWN]:
        pruned = " (pruned)" if trial.state == "pruned" else ""
        changed = "as it stands" if trial.as_it_stands else " ".join(trial.changes)
        table.add_row(f"{trial.number}{pruned}", _percent(trial.score), console.cell(changed))
    if found.untrained is not None:
        table.add_row("untrained", _percent(found.untrained), "")
    console.out.print(table)
    for trial in found.trials:
        if trial.error:
            console.warn(f"trial {trial.number} failed: {trial.error}")
    best, own = found.best, found.as_it_stands
    if best is None or best.score is None:
        console.say("No trial has ended; the same command goes on.")
        return
    if own is not None and own.score is not None:
        gain = 100 * (best.score - own.score)
        console.say(f"The recipe as it stands has {_percent(own.score)}: tuning changed that by {gain:+.1f}.")
    console.say(
        f"{_percent(best.score)} is the best of {len(ranked)} on the same vehicles, so it is optimistic: score a model "
        f"of {found.folder / 'best.toml'} on vehicles that no trial has seen."
    )


def _percent(score: float | None) -> str:
    return "" if score is None else f"{100 * score:.1f}"
