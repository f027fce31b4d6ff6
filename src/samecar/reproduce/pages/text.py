"""Titles, cells and legend of a table as texts, and the table in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from samecar.reproduce.chance import METRICS
from samecar.reproduce.tables import difference

NOTHING = "–"
DIFFERS = " †"
"""Marks rows whose published run had other settings than the report prints."""

BESIDE = " ‡"
"""Marks rows of another table."""

OUTSIDE = "*"
"""Marks differences outside chance."""


def file_stem(content: Mapping[str, Any]) -> str:
    """Name of a table's files: `table5`, or `table5-as-run` with the settings of the published runs."""
    return f"{content['table']}{'-as-run' if content['settings'] == 'as run' else ''}"


def full_title(content: Mapping[str, Any]) -> str:
    """Number and title of a table, and everything that keeps it from being a reproduction."""
    return "; ".join([short_title(content), *content["qualifiers"]])


def short_title(content: Mapping[str, Any]) -> str:
    """Number and title of a table, and which settings it shows."""
    number = content["table"].removeprefix("table")
    return f"Table {number}: {content['title']}, settings {content['settings']}"


def headings(content: Mapping[str, Any]) -> list[str]:
    """Headings of the columns; a table that is no reproduction says so in its own column too."""
    ours = "samecar" if content["reproduction"] else "samecar, not a reproduction"
    return [
        content["heading"],
        *(["parameters", "multiply-adds"] if _shows(content, "costs") else []),
        "report, VeRi-776",
        ours,
        *(["95 % interval"] if _shows(content, "intervals") else []),
        "difference from the baseline row, report",
        "difference from the baseline row, samecar",
        "one run with",
    ]


def all_rows(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A table's rows, and those of other tables that are shown with it."""
    return [*content["rows"], *content.get("beside", [])]


def cells(content: Mapping[str, Any]) -> list[list[str]]:
    """The table's cells as text; pairs are rank-1 / mAP in percent."""
    return [_cells(content, row) for row in all_rows(content)]


def _shows(content: Mapping[str, Any], part: str) -> bool:
    return any(row.get(part) for row in all_rows(content))


def _cells(content: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    changed = difference(content["rows"], row, content["baseline"])
    is_baseline = row["id"] == content["baseline"]
    marks = (DIFFERS if row["differs_as_run"] else "") + ("" if row in content["rows"] else BESIDE)
    return [
        row["name"] + marks,
        *(_costs(row["costs"]) if _shows(content, "costs") else []),
        " / ".join(f"{row['report'][metric]:.1f}" for metric in METRICS),
        " / ".join(_mean(row["scores"][metric]) for metric in METRICS) if row["scores"] else NOTHING,
        *([_intervals(row["intervals"])] if _shows(content, "intervals") else []),
        "baseline" if is_baseline else _format_signed(changed["report"]),
        "baseline" if is_baseline else _format_signed(changed["ours"], row.get("comparison")),
        ", ".join(row["same_run"]) or NOTHING,
    ]


def _mean(score: Mapping[str, float | None]) -> str:
    deviation = "" if score["deviation"] is None else f" ± {score['deviation']:.1f}"
    return f"{score['mean']:.1f}{deviation}"


def _costs(costs: Mapping[str, int]) -> list[str]:
    return [f"{costs['parameters'] / 1e6:,.2f} M", f"{costs['multiply_adds'] / 1e6:,.0f} M"]


def _intervals(ends: Mapping[str, Sequence[float]] | None) -> str:
    return " / ".join(f"{ends[metric][0]:.1f}–{ends[metric][1]:.1f}" for metric in METRICS) if ends else NOTHING


def _format_signed(values: Mapping[str, float] | None, compared: Mapping[str, Any] | None = None) -> str:
    if values is None:
        return NOTHING
    return " / ".join(
        f"{round(values[metric], 1) + 0.0:+.1f}{OUTSIDE if compared and compared[metric]['outside_chance'] else ''}"
        for metric in METRICS
    )


def legend(content: Mapping[str, Any]) -> list[str]:
    """What a reader of the table must know, in sentences."""
    seeds = content["seeds"]
    over = (
        f"mean ± sample standard deviation over seeds {', '.join(map(str, seeds))}"
        if len(seeds) > 1
        else f"seed {seeds[0]}"
    )
    finished = sum(bool(row["scores"]) for row in content["rows"])
    sentences = [
        f"rank-1 / mAP in percent; the report's on VeRi-776, ours: {over}.",
        f"Baseline row: {content['baseline']}.",
    ]
    if finished < len(content["rows"]):
        sentences.append(f"{finished} of {len(content['rows'])} rows were run.")
    if any(len(row["runs"]) not in (0, len(seeds)) for row in content["rows"]):
        sentences.append("Not every row was run with every seed.")
    sentences += [f"{row['id']} failed: {row['failure']}" for row in all_rows(content) if row["failure"]]
    if any(row["differs_as_run"] for row in content["rows"]):
        shown = "the printed ones" if content["settings"] == "as printed" else "those of the run"
        sentences.append(f"† The published run had other settings than the report prints; shown are {shown}.")
    sentences += [
        f"‡ Not a row of the report's {content['table'].replace('table', 'Table ')}, but {row['id']}."
        for row in content.get("beside", [])
    ]
    return [*sentences, *_chance(content), *_sizes(content), *_weights(content), *content["notes"]]


def _chance(content: Mapping[str, Any]) -> list[str]:
    """What intervals and marks mean."""
    sentences = []
    averaged = ", each query with the mean of its values over the seeds" if len(content["seeds"]) > 1 else ""
    if _shows(content, "intervals"):
        sentences.append(f"95 % interval over test vehicles{averaged}.")
    if _shows(content, "comparison"):
        sentences.append(
            f"Outside chance (p < 5 %) are differences with {OUTSIDE}, others are inside: paired permutation test over "
            f"test vehicles{averaged}."
        )
        sentences.append(
            "One in twenty differences that are none gets the mark; and it knows nothing of chance between seeds, "
            "about a point in the report."
        )
    untested = [row["id"] for row in all_rows(content) if row["scores"] and not row.get("intervals")]
    if untested and _shows(content, "intervals"):
        sentences.append(f"No queries are saved of {', '.join(untested)}: neither interval nor test.")
    return sentences


def _sizes(content: Mapping[str, Any]) -> list[str]:
    """What parameters and multiply-adds count."""
    if not _shows(content, "costs"):
        return []
    sizes = dict.fromkeys(" × ".join(map(str, row["size"])) for row in all_rows(content))
    sentence = (
        "Parameters and multiply-adds, in millions, are those of the network that embeds, without the classifier; "
        f"multiply-adds of convolutions and linear layers, for a picture of {' or '.join(sizes)}."
    )
    return [sentence]


def _weights(content: Mapping[str, Any]) -> list[str]:
    """Which weights the rows begin with; what earlier versions did not record is left out."""
    runs = [run for row in all_rows(content) for run in row["runs"]]
    found = dict.fromkeys(describe_weights(run["weights"]) for run in runs if run.get("weights"))
    return [f"Weights to begin from: {'; '.join(found)}."] if found else []


def describe_weights(weights: Mapping[str, Any]) -> str:
    """Name, SHA-256 and licence of weights in a few words, as run.json has them."""
    digest = weights["sha256"] and f"SHA-256 {weights['sha256'][:16]}…"
    licence = weights["licence"] and f"licence {weights['licence']}"
    return ", ".join(part for part in (weights["name"], digest, licence) if part)


def markdown(content: Mapping[str, Any], *, card: bool = True, level: int = 3) -> str:
    """The table, its legend and, if wanted, its protocol card in Markdown.

    Args:
        content: from `table_results`.
        card: whether the protocol card is there.
        level: of the heading.
    """
    names = headings(content)
    lines = [f"{'#' * level} {full_title(content)}", "", markdown_line(names), "|" + "---|" * len(names)]
    lines += [markdown_line(row) for row in cells(content)]
    lines += ["", *(f"- {sentence}" for sentence in legend(content))]
    if content["card"] and card:
        lines.append(f"- {card_sentence(content)}")
    if "data" in content and card:
        lines.append(f"- {content['data']['sentence']}")
    return "\n".join(lines) + "\n"


def markdown_line(texts: Iterable[str]) -> str:
    """A line of a table in Markdown."""
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in texts)} |"


def card_sentence(content: Mapping[str, Any]) -> str:
    """The protocol card that all rows share, in one sentence."""
    return f"Protocol card: {'; '.join(f'{name}: {value}' for name, value in card_lines(content))}."


def card_lines(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The protocol card that all rows share, as headings and values."""
    card = content["card"] or {}
    return [(name.replace("_", " "), NOTHING if value is None else str(value)) for name, value in card.items()]
