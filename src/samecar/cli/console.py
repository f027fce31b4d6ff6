"""Printing: progress bars, tables of scores, and warnings."""

import json
import math
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from samecar import progress
from samecar.progress import Progress

if TYPE_CHECKING:
    from samecar.data import CheckResult, Manifest
    from samecar.evaluation import Evaluation
    from samecar.evaluation.records import RunComparison

EXAMPLES = 3
"""Examples of a finding that are printed; `--json` has more."""

GROUPS = 10
"""Rows of a table of parts that are printed; `--json` has all."""

CHANCE = 0.05
"""A p-value below is called more than chance."""

out = Console()
errors = Console(stderr=True)


def progress_bars() -> AbstractContextManager[Progress]:
    """Shows a bar for each kind of work on standard error; a line a minute where that is no terminal."""
    return progress.progress_bars(errors)


def say(text: str) -> None:
    """Prints a line or several, without markup."""
    lines = "\n".join(visible(line) for line in text.split("\n"))
    out.print(lines, markup=False, highlight=False, soft_wrap=True)


def warn(text: str) -> None:
    """Prints a warning on standard error."""
    errors.print(visible(f"warning: {text}"), style="yellow", markup=False, highlight=False, soft_wrap=True)


def visible(text: str) -> str:
    """A text in which control characters are written out, as names may hold some and a terminal would obey them.

    So are bytes of a name that are no UTF-8, which cannot be printed.
    """
    return "".join(repr(sign)[1:-1] if unicodedata.category(sign) in ("Cc", "Cs") else sign for sign in text)


def cell(text: str) -> str:
    """A text that comes from elsewhere, for a table."""
    return escape(visible(text))


def probability(share: float) -> str:
    """A probability in percent; never 0 or 100 %, which nothing learned from pictures can claim."""
    percent = f"{100 * share:.1f} %"
    return {"0.0 %": "<0.1 %", "100.0 %": ">99.9 %"}.get(percent, percent)


def open_aloud(source: str) -> "Manifest":
    """Opens a source and prints what it noticed."""
    from samecar.data import open_source

    manifest = open_source(source)
    for warning in manifest.warnings:
        warn(warning)
    return manifest


def fail(text: str) -> None:
    """Prints an error on standard error."""
    errors.print(visible(f"error: {text}"), style="red", markup=False, highlight=False, soft_wrap=True)


def fail_usage(error: Any) -> None:
    """Prints what is wrong with a command line on standard error."""
    sentence = error.format_message().rstrip(".").replace(". Did you mean", "; did you mean")
    if sentence:  # it is empty where the help was just printed
        command = error.ctx.command_path if error.ctx else "samecar"
        fail(f"{sentence[0].lower()}{sentence[1:]}; see `{command} --help`")


@contextmanager
def interruptible(consequence: str) -> Iterator[None]:
    """Says what an interruption of the block leaves behind, and ends with status 130."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        fail(f"interrupted; {consequence}")
        raise typer.Exit(130) from interruption


def print_json(content: Mapping[str, Any]) -> None:
    """Prints one JSON object and nothing else on standard output; bytes of a name that are no UTF-8 become '?'."""
    print(json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8"))


def print_evaluation(evaluation: "Evaluation", untrained: "Evaluation | None" = None) -> None:
    """Prints scores and the card that they were obtained under."""
    table = Table(title="Scores", title_justify="left")
    table.add_column("")
    columns = {"%": evaluation} if untrained is None else {"untrained": untrained, "trained": evaluation}
    for heading in (*columns, "95 % interval"):
        table.add_column(heading, justify="right")
    for name in ("mAP", "mINP", *(f"rank-{rank}" for rank in evaluation.cmc)):
        table.add_row(name, *(_percent(scores, name) for scores in columns.values()), _interval(evaluation, name))
    out.print(table)
    card = Table(title="Protocol card", title_justify="left", show_header=False)
    card.add_column(style="dim")
    card.add_column(overflow="fold")
    for heading, value in evaluation.card.lines():
        card.add_row(heading, escape(value))
    out.print(card)


def print_details(evaluation: "Evaluation") -> None:
    """Prints what one threshold for all pairs gives, and scores of parts of the test set."""
    table = Table(title="One threshold for all pairs", title_justify="left")
    for heading in ("wrong pairs accepted", "right pairs accepted", "distance below"):
        table.add_column(heading, justify="right")
    for rate, point in evaluation.verification.items():
        table.add_row(f"{100 * rate:g} %", f"{100 * point.true_positive_rate:.1f} %", f"{point.threshold:.4g}")
    out.print(table)
    for name, rows in evaluation.tables.items():
        shown = sorted(rows, key=lambda row: row.scores["mAP"])[:GROUPS]
        title = f"By {name}" + (f", the {GROUPS} lowest of {len(rows)}" if len(rows) > GROUPS else "")
        table = Table(title=title, title_justify="left")
        table.add_column(name)
        for heading in ("queries", *rows[0].scores):
            table.add_column(heading, justify="right")
        for row in shown:
            table.add_row(
                escape(" → ".join(row.group)),
                f"{row.queries:,}",
                *(f"{100 * value:.1f}" for value in row.scores.values()),
            )
        out.print(table)


def print_comparison(comparison: "RunComparison") -> None:
    """Prints how two runs differ, and whether by more than chance."""
    say(f"{comparison.name}: {comparison.queries:,} queries of {comparison.vehicles:,} vehicles")
    if comparison.left_out:
        warn(f"{comparison.left_out:,} queries were scored in only one of the runs and are left out")
    for name, values in comparison.differences.items():
        warn(f"{name} differs: {values[0]} and {values[1]}")
    table = Table("", "A", "B", "B − A", "95 % interval", "p")
    for name, found in comparison.metrics.items():
        low, high = found.interval
        numbers = (f"{100 * found.first:.1f}", f"{100 * found.second:.1f}", f"{100 * found.difference:+.1f}")
        table.add_row(name, *numbers, f"{100 * low:+.1f} to {100 * high:+.1f}", f"{found.p_value:.4f}")
    out.print(table)
    surprising = [name for name, found in comparison.metrics.items() if found.p_value < CHANCE]
    say(
        f"More than chance (p < {CHANCE}): {', '.join(surprising)}."
        if surprising
        else f"No difference is more than chance (p < {CHANCE})."
    )


def print_check(result: "CheckResult", source: str) -> None:
    """Prints what a source, as it was given, holds and what is wrong with it."""
    say(f"Pictures of {source}")
    table = Table("")
    for heading in ("pictures", "vehicles", "cameras", "unlabelled", "pictures a vehicle"):
        table.add_column(heading, justify="right")
    for split, summary in result.splits.items():
        spread = f"{summary.fewest} to {summary.most}, median {summary.median:g}" if summary.vehicles else ""
        counts = (summary.pictures, summary.vehicles, summary.cameras, summary.unlabelled)
        table.add_row(split, *(f"{count:,}" for count in counts), spread)
    out.print(table)
    styles = {"error": "bold red", "warning": "yellow", "note": "dim"}
    for finding in result.findings:
        out.print(f"[{styles[finding.severity]}]{finding.severity}[/]:", end=" ")
        say(finding.sentence)
        for example in finding.examples[:EXAMPLES]:
            say(f"  {example}")
        if finding.examples and finding.count > EXAMPLES:
            say(f"  … and {finding.count - EXAMPLES:,} more")
    if not result.findings:
        say("Nothing is wrong.")


def _interval(evaluation: "Evaluation", name: str) -> str:
    low, high = evaluation.intervals.get(name, (math.nan, math.nan))
    return "" if math.isnan(low) else f"{100 * low:.1f} to {100 * high:.1f}"


def _percent(evaluation: "Evaluation", name: str) -> str:
    values = {
        "mAP": evaluation.mean_average_precision,
        "mINP": evaluation.mean_inverse_negative_penalty,
        **{f"rank-{rank}": value for rank, value in evaluation.cmc.items()},
    }
    deviation = f" ± {100 * evaluation.deviation[name]:.1f}" if name in evaluation.deviation else ""
    return f"{100 * values[name]:.1f}{deviation}"
