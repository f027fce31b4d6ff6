"""Tables of results to read: Markdown, one HTML page, and JSON, all made from the same data."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samecar.config import Recipe
from samecar.files import write_file
from samecar.report.templates import find_template
from samecar.reproduce.rows import derive, report_tables, row_ids
from samecar.reproduce.runs import Choices, Data, rows_by_run, run_folder, saved_scores, unsound_record
from samecar.reproduce.scaling import foreign_data
from samecar.version import __version__

NOTHING = "–"
DIFFERS = " †"
"""Marks rows whose published run had other settings than the report prints."""

METRICS = ("rank-1", "mAP")
OF_ONE_RUN = ("model", "seed")
"""Lines of the protocol card that differ from run to run."""


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
        with write_file(path) as temporary:
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
        "baseline" if is_baseline else _format_signed(changed["report"]),
        "baseline" if is_baseline else _format_signed(changed["ours"]),
        ", ".join(row["same_run"]) or NOTHING,
    ]


def _mean(score: Mapping[str, float | None]) -> str:
    deviation = "" if score["deviation"] is None else f" ± {score['deviation']:.1f}"
    return f"{score['mean']:.1f}{deviation}"


def _format_signed(values: Mapping[str, float] | None) -> str:
    return NOTHING if values is None else " / ".join(f"{round(values[metric], 1) + 0.0:+.1f}" for metric in METRICS)


def _line(texts: list[str]) -> str:
    return f"| {' | '.join(texts)} |"


def table_results(
    table: str, choices: Choices, data: Data, out: Path, failures: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Collects what the runs below a folder say of a table; JSON can hold the result.

    Rows of which no run is finished have no scores. Scores are in percent.

    Args:
        table: such as `table5`.
        choices: how the rows were run.
        data: that they were run on.
        out: the folder above `runs`.
        failures: why runs failed, by the name of their folder.
    """
    content = report_tables()[table]
    together = rows_by_run(choices)
    cards: list[dict[str, Any]] = []
    rows = []
    for identifier, row in zip(row_ids(table), content.rows, strict=True):
        recipe = choices.recipe(identifier)
        derivation = derive(identifier, as_run=choices.as_run)
        runs = []
        for seed in choices.seeds:
            scores = saved_scores(run_folder(out, recipe, seed), data)
            if scores is not None:
                runs.append(_run(seed, scores))
                cards.append(scores["evaluation"]["protocol"])
        rows.append(
            {
                "id": identifier,
                "name": row.name,
                "report": {"rank-1": row.rank1, "mAP": row.mAP},
                "recipe": derivation.recipe,
                "changes": list(derivation.changes),
                "differs_as_run": derive(identifier, as_run=True) != derive(identifier),
                "digest": recipe.digest,
                "size": [recipe.model.width, recipe.model.height],
                "same_run": [other for other in together[recipe.digest] if other != identifier],
                "runs": runs,
                "scores": _mean_and_deviation(runs),
                "failure": _failure(out, recipe, choices.seeds, failures or {}),
            }
        )
    qualifiers = _qualifiers(choices, data, table)
    return {
        "table": table,
        "title": content.title,
        "heading": content.heading,
        "qualifiers": qualifiers,
        "reproduction": not qualifiers,
        "settings": "as run" if choices.as_run else "as printed",
        "baseline": f"{table}/{content.baseline}",
        "seeds": list(choices.seeds),
        "notes": list(content.notes),
        "card": {name: value for name, value in cards[0].items() if name not in OF_ONE_RUN} if cards else None,
        "rows": rows,
    }


def difference(rows: Sequence[Mapping[str, Any]], row: Mapping[str, Any], baseline: str) -> dict[str, Any]:
    """By how much a row differs from the baseline row, in the report and here; None where either was not run."""
    base = next(other for other in rows if other["id"] == baseline)
    ours = None
    if row["scores"] and base["scores"]:
        ours = {metric: row["scores"][metric]["mean"] - base["scores"][metric]["mean"] for metric in METRICS}
    return {"report": {metric: row["report"][metric] - base["report"][metric] for metric in METRICS}, "ours": ours}


def _run(seed: int, scores: Mapping[str, Any]) -> dict[str, Any]:
    evaluation = scores["evaluation"]
    return {
        "seed": seed,
        "rank-1": 100 * evaluation["cmc"]["1"],
        "mAP": 100 * evaluation["mAP"],
        "model": evaluation["protocol"]["model"],
        "training_seconds": scores["seconds"],
    }


def _mean_and_deviation(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]] | None:
    """Mean and sample standard deviation over seeds; a single run has no deviation."""
    if not runs:
        return None
    values = {metric: [run[metric] for run in runs] for metric in METRICS}
    return {
        metric: {"mean": statistics.fmean(of), "deviation": statistics.stdev(of) if len(of) > 1 else None}
        for metric, of in values.items()
    }


def _failure(out: Path, recipe: Recipe, seeds: Sequence[int], failures: Mapping[str, str]) -> str | None:
    folders = [run_folder(out, recipe, seed) for seed in seeds]
    found = [failures.get(folder.name) or unsound_record(folder) for folder in folders]
    return next((sentence for sentence in found if sentence), None)


def _qualifiers(choices: Choices, data: Data, table: str) -> list[str]:
    """Why the numbers are no reproduction of the report's; empty if they are."""
    epochs = max(derive(row).load().training.epochs for row in row_ids(table))
    scaled = choices.scale.words(epochs)
    foreign = foreign_data(data.manifest)
    return [
        *([foreign] if foreign else []),
        *([f"scaled down: {', '.join(scaled)}"] if scaled else []),
        *([f"changed: {', '.join(choices.changes)}"] if choices.changes else []),
    ]
