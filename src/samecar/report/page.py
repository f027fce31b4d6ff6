"""The report as one HTML file that loads nothing: styles, pictures and charts are inside it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from samecar.config import LossSettings
from samecar.errors import SamecarError
from samecar.evaluation.ranked_lists import RankedQuery
from samecar.evaluation.results import Evaluation
from samecar.files import as_path, write_file
from samecar.options import flatten
from samecar.report import charts
from samecar.report.charts import Chart, line_chart
from samecar.report.templates import find_template
from samecar.report.thumbnails import ReportPictures
from samecar.version import __version__

FEW_QUERIES = 500
"""With fewer scored queries the report says how much a single one weighs."""


def write_report(
    path: str | Path,
    *,
    title: str,
    evaluation: Evaluation,
    examples: Sequence[RankedQuery],
    worst: Sequence[RankedQuery],
    history: Sequence[Mapping[str, float]] = (),
    untrained: Evaluation | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> None:
    """Writes the report of an evaluation as one HTML file, whole or not at all.

    Each ranked list adds what its eleven pictures take: of crops of 150 pixels some 80 kB, of photographs up to 700 kB.

    Args:
        path: the file; its folder is made if it does not exist.
        title: its headline, for example the run's name.
        evaluation: the scores and their protocol card.
        examples: ranked lists that stand for all; none leaves the section out.
        worst: ranked lists of the queries with the lowest average precision; none leaves the section out.
        history: a record for each epoch of training with `epoch`, and any of `loss`, the losses by their names, such as
            `triplet`, `accuracy`, `seconds`, `validation_mAP` and `validation_rank-1`; none leaves the section out.
        untrained: scores of the same network before training, shown beside the others.
        recipe: the settings of the run, groups of options by name; None leaves the section out.

    Raises:
        SamecarError: the file cannot be written.
    """
    path = as_path(path, "report")
    filters = (
        ("percent", _percent),
        ("duration", _duration),
        ("short_path", _short_path),
        ("counted", _describe_count),
    )
    html = find_template("samecar.report", "report.html.jinja", filters).render(
        version=__version__,
        title=title,
        evaluation=evaluation,
        untrained=untrained,
        scores=list(_scores(evaluation, untrained)),
        notes=list(_notes(evaluation)),
        cmc_chart=_cmc_chart(evaluation, untrained),
        history=history,
        training_charts=[chart for chart in (_loss_chart(history), _accuracy_chart(history)) if chart],
        training_seconds=sum(_number(record, "seconds", 0.0) for record in history),
        validated=any("validation_mAP" in record for record in history),
        examples=examples,
        worst=worst,
        recipe=dict(_option_groups(recipe or {})),
        area=charts,
        pictures=ReportPictures(),
    )
    try:
        with write_file(path) as temporary:
            temporary.write_bytes(html.encode("utf-8", "backslashreplace"))  # file names may be no Unicode
    except OSError as error:
        raise SamecarError(f"the report {path} cannot be written: {error.strerror}; choose another place") from error


def _scores(evaluation: Evaluation, untrained: Evaluation | None) -> Iterator[dict[str, Any]]:
    """Rows of the table of scores: name, what it says, value, deviation over draws, value before training."""
    before = _values(untrained) if untrained else {}
    meanings = {
        "mAP": "Mean average precision: walking down each ranking, how many of the pictures seen so far are right, "
        "taken at every right one; 100\N{NO-BREAK SPACE}% means that all matches come first.",
        "mINP": "Mean inverse negative penalty: how far down one must look to find even the hardest match; "
        "100\N{NO-BREAK SPACE}% means that no wrong picture comes before the last match.",
        "rank-1": "The share of queries whose very first picture shows the same vehicle.",
    }
    for name, value in _values(evaluation).items():
        rank = name.removeprefix("rank-")
        yield {
            "name": name,
            "meaning": meanings.get(name, f"The share of queries with a match among the first {rank} pictures."),
            "value": value,
            "deviation": evaluation.deviation.get(name),
            "interval": evaluation.interval_text(name),
            "before": before.get(name),
        }


def _values(evaluation: Evaluation) -> dict[str, float]:
    return {
        **{f"rank-{rank}": value for rank, value in evaluation.cmc.items()},
        "mAP": evaluation.mean_average_precision,
        "mINP": evaluation.mean_inverse_negative_penalty,
    }


def _notes(evaluation: Evaluation) -> Iterator[str]:
    """What a reader of the numbers should be warned of."""
    scored, skipped = evaluation.card.queries_scored, evaluation.card.queries_skipped
    if skipped:
        yield (
            f"{skipped} of {_describe_count(scored + skipped, 'query', 'queries')} had no match in the gallery: "
            "skipped, and part of no number on this page."
        )
    if scored < FEW_QUERIES:
        yield (
            f"Only {_describe_count(scored, 'query was', 'queries were')} scored: "
            f"a single one moves rank-1 by {100 / max(scored, 1):.1f} points."
        )


def _cmc_chart(evaluation: Evaluation, untrained: Evaluation | None) -> Chart | None:
    def points(curve: Sequence[float]) -> list[tuple[float, float]]:
        return [(rank, 100 * float(share)) for rank, share in enumerate(curve, start=1)]

    lines = {"after training" if untrained else "this model": points(list(evaluation.cmc_curve))}
    if untrained:
        lines["before training"] = points(list(untrained.cmc_curve))
    steps = ", ".join(f"{_percent(value)} at rank {rank}" for rank, value in evaluation.cmc.items())
    return line_chart(
        "Queries with a match by rank (CMC)",
        f"Share of queries that have found a match: {steps}.",
        lines,
        x_label="rank",
        y_label="% of queries",
        y_top=100,
    )


def _loss_chart(history: Sequence[Mapping[str, float]]) -> Chart | None:
    lines = {name: _points(history, name) for name in ("loss", *LossSettings().groups())}
    ends = [y for _, y in lines["loss"]]
    summary = f"The loss went from {ends[0]:.3g} to {ends[-1]:.3g}." if ends else "The parts of the loss."
    named = {name.replace("_", " "): points for name, points in lines.items()}
    return line_chart("Loss by epoch", summary, named, x_label="epoch", y_label="loss")


def _accuracy_chart(history: Sequence[Mapping[str, float]]) -> Chart | None:
    names = {
        "validation rank-1": "validation_rank-1",
        "validation mAP": "validation_mAP",
        "accuracy on training batches": "accuracy",
    }
    lines = {name: _points(history, key, scale=100) for name, key in names.items()}
    lasts = [f"{name} {_percent(points[-1][1] / 100)}" for name, points in lines.items() if points]
    summary = f"At the end: {', '.join(lasts)}."
    return line_chart("Scores by epoch", summary, lines, x_label="epoch", y_label="%", y_top=100)


def _points(history: Sequence[Mapping[str, float]], key: str, scale: float = 1) -> list[tuple[float, float]]:
    points = [
        (_number(record, "epoch", place), scale * _number(record, key)) for place, record in enumerate(history, start=1)
    ]
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _number(record: Mapping[str, float], key: str, otherwise: float = math.nan) -> float:
    value = record.get(key)
    return otherwise if value is None else float(value)


def _option_groups(recipe: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """Groups of options as words; options outside a group stand first, under an empty name."""
    groups: dict[str, dict[str, str]] = {}
    for option, value in flatten(recipe).items():
        group, _, name = option.rpartition(".")
        groups.setdefault(group, {})[name] = _in_words(value)
    yield from sorted(groups.items(), key=lambda group: bool(group[0]))


def _in_words(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_in_words, value)) or "–"
    return str(value)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%" if math.isfinite(share) else "–"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _short_path(path: Path) -> str:
    """The file's name and its folder's: enough to find it, and no machine's folders in a page that is handed on."""
    return "/".join(path.parts[-2:])


def _describe_count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
