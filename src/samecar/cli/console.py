"""Printing: progress bars, tables of scores, and warnings."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from samecar import progress
from samecar.notebook import visible
from samecar.progress import Progress

if TYPE_CHECKING:
    from samecar.calibration import Calibration, MeasuredRate
    from samecar.data import CheckResult, Manifest
    from samecar.evaluation import Evaluation
    from samecar.evaluation.records import RunComparison
    from samecar.experiment.compare import Likeness
    from samecar.hardware import Machine
    from samecar.processes import Processes

EXAMPLES = 3
"""Examples of a finding that are printed; `--all` prints all, and `--json` has them too."""

GROUPS = 10
"""Rows of a table of parts that are printed; `--json` has all."""

NARROWEST = 40
"""Columns below which a table shows nothing; some environments say that they have 0 or 1."""


def widen_narrow(columns: str) -> str:
    """What the environment says of its columns, or `NARROWEST` where it says fewer."""
    return str(NARROWEST) if columns.isdecimal() and int(columns) < NARROWEST else columns


if "COLUMNS" in os.environ:
    os.environ["COLUMNS"] = widen_narrow(os.environ["COLUMNS"])  # read by each `Console` when it is made

out = Console()
errors = Console(stderr=True)


def escape_unknown_signs(*streams: TextIO) -> None:
    """Lets streams write signs that their encoding lacks by their numbers, where they would refuse the whole line."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


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


def announce(text: str) -> None:
    """Prints something that should be seen at once on standard error, beside what a program reads."""
    errors.print(visible(text), style="bold", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def words_beside(beside: bool) -> Iterator[None]:
    """Lets `say` print on standard error for the block, where standard output belongs to a program."""
    global out
    before = out
    out = errors if beside else before
    try:
        yield
    finally:
        out = before


def cell(text: str) -> str:
    """A text that comes from elsewhere, for a table."""
    return escape(visible(text))


def probability(share: float) -> str:
    """A probability in percent; never 0 or 100 %, which nothing learned from pictures can claim."""
    percent = f"{100 * share:.1f} %"
    return {"0.0 %": "<0.1 %", "100.0 %": ">99.9 %"}.get(percent, percent)


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60:,} h {minutes % 60} min"


def open_aloud(*sources: str) -> "Manifest":
    """Opens a source, or joins several with their vehicles kept apart, and prints what was noticed."""
    from samecar.data import join_sets, open_source
    from samecar.data.placeholders import describe_placeholders

    manifest = open_source(sources[0]) if len(sources) == 1 else join_sets(sources)
    for warning in filter(None, (*manifest.warnings, describe_placeholders(manifest))):
        warn(warning)
    return manifest


@contextmanager
def several(count: int | None, on: "Machine") -> "Iterator[Processes | None]":
    """Gives this process, or this one of several, for the block; None if others are started that do the work.

    Of several processes that torchrun has started, the first one alone prints.

    Args:
        count: processes to start on this machine; None starts none.
        on: the machine.
    """
    from samecar.cli.launching import launch, starts_others
    from samecar.processes import take_part

    if starts_others(count):
        assert count is not None
        launch(count, sys.argv[1:], on)
        yield None
        return
    with take_part(on) as processes:
        out.quiet = errors.quiet = not processes.first
        try:
            yield processes
        finally:
            out.quiet = errors.quiet = False


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
def interruptible(consequence: str | Callable[[], str] = "") -> Iterator[None]:
    """Ends an interrupted block with status 130, and says what it leaves behind if that is known."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        left = consequence if isinstance(consequence, str) else consequence()
        fail(f"interrupted; {left}" if left else "interrupted")
        raise typer.Exit(130) from interruption


def print_json(content: Mapping[str, Any]) -> None:
    """Prints one JSON object and nothing else on standard output; bytes of a name that are no UTF-8 become '?'.

    Signs that a terminal would obey are written by their numbers, which JSON reads as the signs.
    """
    ascii_only = not (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    text = json.dumps(content, indent=2, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")
    if ascii_only:
        print(json.dumps(json.loads(text), indent=2))
        return
    print("".join(sign if sign == "\n" or visible(sign) == sign else f"\\u{ord(sign):04x}" for sign in text))


def print_evaluation(evaluation: "Evaluation", untrained: "Evaluation | None" = None) -> None:
    """Prints scores and the card that they were obtained under."""
    table = Table(title="Scores", title_justify="left")
    table.add_column("")
    columns = {"%": evaluation} if untrained is None else {"untrained": untrained, "trained": evaluation}
    for heading in (*columns, "95 % interval"):
        table.add_column(heading, justify="right")
    for name in ("mAP", "mINP", *(f"rank-{rank}" for rank in evaluation.cmc)):
        table.add_row(name, *(_percent(scores, name) for scores in columns.values()), evaluation.interval_text(name))
    out.print(table)
    card = Table(title="Protocol card", title_justify="left", show_header=False)
    card.add_column(style="dim")
    card.add_column(overflow="fold")
    for heading, value in evaluation.card.lines():
        card.add_row(heading, cell(value))
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
                cell(" → ".join(row.group)),
                f"{row.queries:,}",
                *(f"{100 * value:.1f}" for value in row.scores.values()),
            )
        out.print(table)


def print_comparison(comparison: "RunComparison") -> None:
    """Prints how two runs differ, and whether by more than chance."""
    from samecar.uncertainty import CHANCE

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


def print_calibration(calibration: "Calibration") -> None:
    """Prints what a calibration was fitted to, and how good it is on vehicles that it was not fitted to."""
    evidence, quality = calibration.evidence, calibration.quality
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in quality.log_loss.items())
    say(
        f"Fitted to {evidence.vehicles:,} vehicles ({evidence.kind}) in {evidence.pictures:,} pictures: "
        f"{evidence.same_pairs:,} pairs of one vehicle and {evidence.different_pairs:,} of two"
    )
    say(f"Measured on vehicles that were not fitted to, over {quality.halves} random halves:")
    say(
        f"  Same vehicle? {calibration.pairs.method}; log loss {losses} (a coin: 0.693), Brier {quality.brier:.3f}, "
        f"probabilities are off by {quality.calibration_error:.3f} on average"
    )
    say(
        f"  From similarity {calibration.same_threshold:.3f} on it is called the same: "
        f"{_share(quality.true_positive_rate)} of same pairs and {_share(quality.false_positive_rate)} of "
        "different pairs are"
    )
    say(
        f"  In the gallery at all? Stated false alarms {_share(calibration.false_alarm_rate)}; seen "
        f"{_rate(quality.false_alarm)}"
    )
    say(
        f"  of those that are in it, said to be {_rate(quality.detection)}; with the right vehicle first "
        f"{_rate(quality.identification)}"
    )
    say(
        f"Thresholds are measured for galleries of up to {calibration.open_set.pictures[-1]:,.0f} pictures; beyond "
        "they are extrapolated"
    )


def print_likeness(likeness: "Likeness", mending: str) -> None:
    """Prints how alike two pictures are; `mending` says how to get a calibration where there is none."""
    say(f"similarity   {likeness.similarity:.3f}")
    if likeness.probability is None:
        say(f"There is no calibration, so that no probability can be told; {mending}")
        return
    said = probability(likeness.probability)
    say(f"probability  {said} that it is the same vehicle, if it was 50 % before")
    threshold = f"{likeness.threshold:.3f}"
    verdict = f"the same vehicle (from {threshold} on)" if likeness.same else f"different vehicles (below {threshold})"
    say(f"verdict      {verdict}")


def print_check(result: "CheckResult", source: str, *, every: bool = False) -> None:
    """Prints what a source, as it was given, holds and what is wrong with it; with `every` all examples."""
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
        shown = finding.examples if every else finding.examples[:EXAMPLES]
        for example in shown:
            say(f"  {example}")
        if len(finding.examples) > len(shown):
            say(f"  … and {len(finding.examples) - len(shown):,} more, which --all names")
    if not result.findings:
        say("Nothing is wrong.")


def _percent(evaluation: "Evaluation", name: str) -> str:
    values = {
        "mAP": evaluation.mean_average_precision,
        "mINP": evaluation.mean_inverse_negative_penalty,
        **{f"rank-{rank}": value for rank, value in evaluation.cmc.items()},
    }
    deviation = f" ± {100 * evaluation.deviation[name]:.1f}" if name in evaluation.deviation else ""
    return f"{100 * values[name]:.1f}{deviation}"


def _rate(measured: "MeasuredRate") -> str:
    interval = ""
    if measured.low is not None and measured.high is not None:
        interval = f" (95 % interval {_share(measured.low)} to {_share(measured.high)})"
    return f"{_share(measured.rate)}{interval} of {measured.queries:,} queries"


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"
