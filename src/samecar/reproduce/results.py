"""A table of results as plain data: the report's number beside ours, and all that ours depends on."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samecar.config import Recipe
from samecar.reproduce.planning import Choices, rows_by_run, run_folder
from samecar.reproduce.rows import derive, report_tables, row_ids
from samecar.reproduce.running import Data, saved_scores
from samecar.reproduce.scaling import foreign_data

METRICS = ("rank-1", "mAP")
OF_ONE_RUN = ("model", "seed")
"""Lines of the protocol card that differ from run to run."""


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
    found = [failures.get(run_folder(out, recipe, seed).name) for seed in seeds]
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
