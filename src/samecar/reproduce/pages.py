"""Tables of results to read: Markdown, one HTML page, and JSON, all made from the same data."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samecar.files import written_file
from samecar.report.templates import find_template
from samecar.reproduce.results import METRICS, difference
from samecar.version import __version__

NOTHING = "–"
DIFFERS = " †"
"""Marks rows whose published run had other settings than the report prints."""


def write_table(folder: Path, content: Mapping[str, Any]) -> list[Path]:
    """Writes `table5.md`, `table5.html` and `table5.json`, each whole or not at all.

    Args:
        folder: to write into.
        content: from `table_results`.
    """
    texts = {
        "md": markdown(content),
        "html": page(content),
        "json": json.dumps(content, indent=2, ensure_ascii=False) + "\n",
    }
    paths = []
    for suffix, text in texts.items():
        path = folder / f"{content['table']}.{suffix}"
        with written_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def full_title(content: Mapping[str, Any]) -> str:
    """Number and title of a table, and everything that keeps it from being a reproduction."""
    number = content["table"].removeprefix("table")
    title = f"Table {number}: {content['title']}, settings {content['settings']}"
    return "; ".join([title, *content["qualifiers"]])


def headings(content: Mapping[str, Any]) -> list[str]:
    """Headings of the columns; a table that is no reproduction says so in its own column too."""
    ours = "samecar" if content["reproduction"] else "samecar, not a reproduction"
    return [
        content["heading"],
        "report, VeRi-776",
        ours,
        "difference from the baseline row, report",
        "difference from the baseline row, samecar",
        "one run with",
    ]


def cells(content: Mapping[str, Any]) -> list[list[str]]:
    """The table's cells as text; pairs are rank-1 / mAP in percent."""
    return [_cells(content, row) for row in content["rows"]]


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
    sentences += [f"{row['id']} failed: {row['failure']}" for row in content["rows"] if row["failure"]]
    if any(row["differs_as_run"] for row in content["rows"]):
        shown = "the printed ones" if content["settings"] == "as printed" else "those of the run"
        sentences.append(f"† The published run had other settings than the report prints; shown are {shown}.")
    return sentences + list(content["notes"])


def markdown(content: Mapping[str, Any], *, card: bool = True) -> str:
    """The table, its legend and, if wanted, its protocol card in Markdown."""
    lines = [f"### {full_title(content)}", "", _line(headings(content)), "|---|---|---|---|---|---|"]
    lines += [_line(row) for row in cells(content)]
    lines += ["", *(f"- {sentence}" for sentence in legend(content))]
    if content["card"] and card:
        lines.append(f"- {card_sentence(content)}")
    return "\n".join(lines) + "\n"


def card_sentence(content: Mapping[str, Any]) -> str:
    """The protocol card that all rows share, in one sentence."""
    return f"Protocol card: {'; '.join(f'{name}: {value}' for name, value in card_lines(content))}."


def card_lines(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The protocol card that all rows share, as headings and values."""
    card = content["card"] or {}
    return [(name.replace("_", " "), NOTHING if value is None else str(value)) for name, value in card.items()]


def page(content: Mapping[str, Any]) -> str:
    """The table as one HTML page that loads nothing."""
    return find_template("samecar.reproduce", "table.html.jinja").render(
        version=__version__,
        content=content,
        title=full_title(content),
        headings=headings(content),
        cells=cells(content),
        legend=legend(content),
        card=card_lines(content),
    )


def _cells(content: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    changed = difference(content["rows"], row, content["baseline"])
    is_baseline = row["id"] == content["baseline"]
    return [
        row["name"] + (DIFFERS if row["differs_as_run"] else ""),
        " / ".join(f"{row['report'][metric]:.1f}" for metric in METRICS),
        " / ".join(_mean(row["scores"][metric]) for metric in METRICS) if row["scores"] else NOTHING,
        "baseline" if is_baseline else _signed(changed["report"]),
        "baseline" if is_baseline else _signed(changed["ours"]),
        ", ".join(row["same_run"]) or NOTHING,
    ]


def _mean(score: Mapping[str, float | None]) -> str:
    deviation = "" if score["deviation"] is None else f" ± {score['deviation']:.1f}"
    return f"{score['mean']:.1f}{deviation}"


def _signed(values: Mapping[str, float] | None) -> str:
    return NOTHING if values is None else " / ".join(f"{round(values[metric], 1) + 0.0:+.1f}" for metric in METRICS)


def _line(texts: list[str]) -> str:
    return f"| {' | '.join(texts)} |"
