"""The `samecar reproduce` command."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samecar.cli import console
from samecar.cli.commands import examples
from samecar.cli.options import Kept, Place, refuse_two_values
from samecar.cli.settings import OptionsOf, Spelling
from samecar.errors import SamecarError

if TYPE_CHECKING:
    from rich.console import Console

    from samecar.hardware import Machine
    from samecar.progress import Progress
    from samecar.reproduce import Choices, Outcome, Plan, Reproduction, Scale

SPEED_WINDOW = 3600
"""Seconds over which speed is averaged for the time left: runs differ, the last minute says little of the next hour."""


@examples(
    "samecar reproduce --list",
    "samecar reproduce table1 --data veri776:VeRi -o reproduction",
    "samecar reproduce figure4 --data veri776:VeRi",
    "samecar reproduce --plan table1 --data veri776:VeRi",
    "samecar reproduce all --data veri776:VeRi --devices cuda:0,cuda:1",
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
    kept: Kept,
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
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="DEVICES",
            help="instead of --device: train as many runs at a time, each on its own, such as cuda:0,cuda:1 or cpu,cpu",
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="say what the runs would take on this machine, and start none")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="print the plan as one JSON object on standard output")] = False,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="train as quickly as this machine can: bfloat16 where the chip has it, compiled, channels last, fused "
            "steps; the tables say so",
        ),
    ] = False,
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
    refuse_two_values(changed)
    choices = replace(asked, scale=scale, changes=changed)
    if json and not plan:
        raise SamecarError("--json is for --plan; the tables that a reproduction writes are there as JSON too")
    if devices is not None and on["device"] != "auto":
        raise SamecarError(f"--device is {on['device']} and --devices is {devices}; give one of the two")
    several = tuple(name.strip() for name in devices.split(",")) if devices is not None else ()
    if list_rows:
        _print_rows(chosen, figures, choices)
    elif source is None:
        raise SamecarError("give the pictures with --data, such as --data veri776:PATH")
    else:
        from samecar.hardware import REFERENCE, machine
        from samecar.reproduce import reproduce as prepare
        from samecar.reproduce.fast import go_fast

        whole = machine(**on, speed=replace(REFERENCE, cache=kept.cache))
        if fast:
            choices, whole = go_fast(choices, whole)
        work = prepare(chosen, console.open_aloud(source), out, choices, figures)
        if not plan:
            _run(work, whole, several)
            return
        with console.errors.status("timing how pictures are read and networks are trained"):
            planned = work.plan(on=whole, devices=several)
        if json:
            console.print_json(planned.as_dict())
        else:
            _print_plan(planned)


def _run(work: "Reproduction", whole: "Machine", devices: tuple[str, ...]) -> None:
    with _bar() as (bar_console, progress):
        try:
            with closing(work.run(on=whole, devices=devices, progress=progress)) as outcomes:
                for outcome in outcomes:
                    bar_console.print(_sentence(outcome), markup=False, highlight=False, soft_wrap=True)
                    work.write()
            written = [*work.write(), *work.draw(on=whole, progress=progress)]
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
    left = f"about {console.duration(outcome.seconds_left)} left"
    if outcome.scores is None:
        return f"{name}: failed, {outcome.failure} ({left})"
    evaluation = outcome.scores["evaluation"]
    scores = f"rank-1 {100 * evaluation['cmc']['1']:.1f}, mAP {100 * evaluation['mAP']:.1f}"
    took = "done by another process" if outcome.elsewhere else console.duration(outcome.seconds)
    return f"{name}: {scores} ({took}; {left})"


def _print_plan(plan: "Plan") -> None:
    cells = [["steps", "pictures", "operations", "ms to read", "ms to train", "hours", "disk, MB", "run"]]
    for one in plan.estimates:
        seed = one.run.recipe.training.seed
        cells.append(
            [
                f"{one.steps:,}",
                f"{one.pictures:,}",
                f"{one.operations:.1e}",
                f"{1000 * one.reading_seconds:.2f}",
                f"{1000 * one.training_seconds:.2f}",
                f"{one.seconds / 3600:,.2f}",
                f"{one.disk_bytes / 1e6:,.0f}",
                one.run.recipe.title if seed == 1 else f"{one.run.recipe.title}, seed {seed}",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)][:-1]
    for *numbers, run in cells:
        console.say("  ".join([*(text.rjust(width) for text, width in zip(numbers, widths, strict=True)), run]))
    content = plan.as_dict()
    several = f", {len(plan.devices)} runs at a time" if len(plan.devices) > 1 else ""
    console.say(
        f"\nIn all: {len(plan.estimates)} runs ({plan.finished} more are finished), {content['steps']:,} steps on "
        f"{content['pictures']:,} pictures, {content['operations']:.2g} floating-point operations, about "
        f"{console.duration(plan.seconds)} on {', '.join(plan.devices)}{several}, {plan.disk_bytes / 1e9:,.1f} GB of "
        f"disk ({plan.disk_free / 1e9:,.1f} GB are free)."
    )
    console.say(
        "Timed here, for a moment each: to read and change a picture on one core, and to train on one that was read. "
        f"All else is an estimate, with cores: {plan.cores}, threads that read for each run: {plan.workers}."
    )


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
