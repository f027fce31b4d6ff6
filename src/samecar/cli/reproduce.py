"""The `samecar reproduce` command."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samecar.cli import console
from samecar.cli.options import OptionsOf, Place, Spelling, examples
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from rich.console import Console

    from samecar.progress import Progress
    from samecar.reproduce import Choices, Outcome, Scale

SPEED_WINDOW = 3600
"""Seconds over which speed is averaged for the time left: runs differ, the last minute says little of the next hour."""


@examples(
    "samecar reproduce --list",
    "samecar reproduce table1 --data veri776:VeRi -o reproduction",
    "samecar reproduce figure4 --data veri776:VeRi",
    "samecar reproduce --rows table5/batch-64 --data veri776:VeRi --epochs 2 --image-scale 0.25",
)
def reproduce(
    asked: Annotated[
        "Choices",
        OptionsOf(
            "samecar.reproduce.choices:Choices",
            {"seeds": Spelling(kind=int, read=lambda count: tuple(range(1, count + 1)), show=len, low=1)},
            only=("seeds", "as_run"),
        ),
    ],
    scale: Annotated["Scale", OptionsOf("samecar.reproduce.scaling:Scale", {"images": "--image-scale"})],
    on: Place,
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="TABLE", help="table1 to table9, figure1 to figure5, or all", show_default=False),
    ] = None,
    source: Annotated[
        str | None, typer.Option("--data", metavar="SOURCE", help="pictures, as NAME:PATH, such as veri776:VeRi")
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", help="folder of runs and tables; what an interrupted reproduction left there is taken up"
        ),
    ] = Path("reproduction"),
    rows: Annotated[
        list[str] | None, typer.Option("--rows", metavar="ROWS", help="only these, such as table5/batch-64,table8/sgd")
    ] = None,
    list_rows: Annotated[bool, typer.Option("--list", help="list the rows and which of them are one run")] = False,
    weights: Annotated[
        str | None, typer.Option(help="dry run: weights to begin from, such as none; as --set model.weights=…")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="OPTION=VALUE", help="change an option of every row")
    ] = None,
) -> None:
    """Runs what the report's tables and figures show, each distinct run once, and sets its numbers beside ours."""
    from samecar.reproduce import choose_figures, choose_rows

    named = [name.strip() for text in rows or [] for name in text.split(",") if name.strip()]
    targets = targets or (["all"] if list_rows and not named else [])
    chosen, figures = choose_rows(targets, named), choose_figures(targets, named)
    changed = (*([f"model.weights={weights}"] if weights else []), *(changes or []))
    choices = replace(asked, scale=scale, changes=changed)
    if list_rows:
        _print_rows(chosen, figures, choices)
    elif source is None:
        raise SamecarError("give the pictures with --data, such as --data veri776:PATH")
    else:
        _run(chosen, figures, source, out, choices, on)


def _run(rows: list[str], figures: list[str], source: str, out: Path, choices: "Choices", on: dict[str, Any]) -> None:
    from samecar.hardware import machine
    from samecar.reproduce import reproduce as prepare

    manifest = console.open_aloud(source)
    work = prepare(rows, manifest, out, choices, figures)
    with _bar() as (bar_console, progress):
        try:
            for outcome in work.run(on=machine(**on), progress=progress):
                bar_console.print(_sentence(outcome), markup=False, highlight=False, soft_wrap=True)
                work.write()
            written = [*work.write(), *work.draw(on=machine(**on), progress=progress)]
        except KeyboardInterrupt:
            console.warn("the same command goes on from here")
            raise
    for path in dict.fromkeys(written):
        console.say(str(path))
    if work.failures:
        console.fail(f"{len(work.failures)} runs failed; their tables say why, and the same command tries them again")
        raise typer.Exit(1)


@contextmanager
def _bar() -> "Iterator[tuple[Console, Progress]]":
    """One bar for all runs on standard error, and the console to print on above it."""
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console.errors, speed_estimate_period=SPEED_WINDOW, transient=True) as bars:
        bar = bars.add_task("", total=None, note="looking whether every run can begin")

        def show(task: str, done: int, total: int, note: str = "") -> None:
            del task  # there is only one
            bars.update(bar, completed=done, total=total, note=note)

        yield console.errors, show


def _sentence(outcome: "Outcome") -> str:
    name = f"{outcome.run.recipe.title}, seed {outcome.run.recipe.training.seed}"
    left = f"about {_duration(outcome.seconds_left)} left"
    if outcome.scores is None:
        return f"{name}: failed, {outcome.failure} ({left})"
    evaluation = outcome.scores["evaluation"]
    scores = f"rank-1 {100 * evaluation['cmc']['1']:.1f}, mAP {100 * evaluation['mAP']:.1f}"
    return f"{name}: {scores} ({_duration(outcome.seconds)}; {left})"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _print_rows(rows: list[str], figures: list[str], choices: "Choices") -> None:
    from samecar.reproduce import find_row, report_figures, report_tables, rows_by_run

    by_run = rows_by_run(choices)
    together = {row: by_run[choices.recipe(row).digest] for row in rows}
    width = max(map(len, rows), default=0)
    console.say(
        f"Settings {'as run' if choices.as_run else 'as printed'}; rank-1 and mAP are the report's, on VeRi-776."
    )
    for name, table in report_tables().items():
        inside = [row for row in rows if row.startswith(f"{name}/")]
        if inside:
            console.say(f"\n{name}: {table.title}")
        for row in inside:
            content = find_row(row)[1]
            same = ", ".join(member for member in together[row] if member != row)
            line = f"  {row:<{width}}  {content.rank1:4.1f}  {content.mAP:4.1f}  {content.name}"
            console.say(f"{line}  (one run with {same})" if same else line)
    if figures:
        console.say("")
    for name in figures:
        figure = report_figures()[name]
        shown = ", ".join(figure.needed_rows) or "no run"
        console.say(f"{name}: {figure.title} ({shown}{', as run' if figure.as_run else ''})")
    console.say(f"\n{len(rows)} rows, {len(set(together.values()))} distinct runs")
