"""The numbers of a table: the report's beside ours, how large chance is, and where each run came from.

`samecar.reproduce.pages` shows them.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from samecar.config import Recipe
from samecar.data import Manifest
from samecar.reproduce.chance import METRICS, Evaluations, compare_with, find_evaluations, intervals
from samecar.reproduce.costs import network_costs
from samecar.reproduce.fast import describe_speed
from samecar.reproduce.own_weights import is_own
from samecar.reproduce.rows import derive, find_row, report_tables, row_ids
from samecar.reproduce.runs import Choices, Data, rows_by_run, run_folder, saved_scores, unsound_record
from samecar.reproduce.scaling import compare_with_lists, foreign_data
from samecar.training import Run
from samecar.version import __version__

OF_ONE_RUN = ("model", "seed", "initial_weights")
"""Lines of the protocol card that differ from run to run."""

WEIGHTS = "model.weights="
"""Begins a change of the weights to begin from."""


def table_results(
    table: str, choices: Choices, data: Data, out: Path, failures: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Collects what the runs below a folder say of a table; JSON can hold the result.

    Rows of which no run is finished have no scores. Scores, intervals and differences are in percent.

    Args:
        table: such as `table5`.
        choices: how the rows were run.
        data: that they were run on.
        out: the folder above `runs`.
        failures: why runs failed, by the name of their folder.
    """
    content = report_tables()[table]
    identifiers = row_ids(table)
    collector = _Collector(choices, data, out, failures or {}, rows_by_run(choices))
    baseline = collector.evaluations(f"{table}/{content.baseline}")
    rows = [
        collector.row(identifier, row.name, content.costs, baseline)
        for identifier, row in zip(identifiers, content.rows, strict=True)
    ]
    beside = [collector.row(row.id, row.name, content.costs, baseline) for row in content.beside]
    cards = [scores["evaluation"]["protocol"] for row in identifiers for _, _, scores in collector.finished(row)]
    reserve = qualifiers(choices, data, out, identifiers)
    return {
        "table": table,
        "title": content.title,
        "heading": content.heading,
        "qualifiers": reserve,
        "reproduction": not reserve,
        "settings": "as run" if choices.as_run else "as printed",
        "baseline": f"{table}/{content.baseline}",
        "seeds": list(choices.seeds),
        "notes": list(content.notes),
        "data": _data_facts(data),
        "card": {name: value for name, value in cards[0].items() if name not in OF_ONE_RUN} if cards else None,
        "rows": rows,
        "beside": beside,
        "samecar": __version__,
    }


def difference(rows: Sequence[Mapping[str, Any]], row: Mapping[str, Any], baseline: str) -> dict[str, Any]:
    """By how much a row differs from the baseline row, in the report and here; None where either was not run."""
    base = next(other for other in rows if other["id"] == baseline)
    ours = None
    if row["scores"] and base["scores"]:
        ours = {metric: row["scores"][metric]["mean"] - base["scores"][metric]["mean"] for metric in METRICS}
    return {"report": {metric: row["report"][metric] - base["report"][metric] for metric in METRICS}, "ours": ours}


@dataclass(frozen=True)
class _Collector:
    """Finds what is known of rows."""

    choices: Choices
    data: Data
    out: Path
    failures: Mapping[str, str]
    together: Mapping[str, tuple[str, ...]]

    def finished(self, identifier: str) -> list[tuple[int, Path, dict[str, Any]]]:
        """Seed, folder and scores of a row's finished runs."""
        recipe = self.choices.recipe(identifier)
        folders = [(seed, run_folder(self.out, recipe, seed)) for seed in self.choices.seeds]
        found = [(seed, folder, saved_scores(folder, self.data)) for seed, folder in folders]
        return [(seed, folder, scores) for seed, folder, scores in found if scores is not None]

    def evaluations(self, identifier: str) -> Evaluations | None:
        """The saved evaluations of a row."""
        return find_evaluations([(folder, scores) for _, folder, scores in self.finished(identifier)])

    def row(self, identifier: str, name: str, costs: bool, baseline: Evaluations | None) -> dict[str, Any]:
        """All that pages show of a row."""
        published = find_row(identifier)[1]
        recipe = self.choices.recipe(identifier)
        derivation = derive(identifier, as_run=self.choices.as_run)
        runs = [_run(seed, folder, scores) for seed, folder, scores in self.finished(identifier)]
        evaluations = self.evaluations(identifier)
        return {
            "id": identifier,
            "name": name,
            "report": {"rank-1": published.rank1, "mAP": published.mAP},
            "recipe": derivation.recipe,
            "changes": list(derivation.changes),
            "differs_as_run": derive(identifier, as_run=True) != derive(identifier),
            "digest": recipe.digest,
            "size": [recipe.model.width, recipe.model.height],
            "costs": network_costs(recipe.model)._asdict() if costs else None,
            "same_run": [other for other in self.together[recipe.digest] if other != identifier],
            "runs": runs,
            "scores": _mean_and_deviation(runs),
            "intervals": intervals(evaluations) if evaluations else None,
            "comparison": self._compare(baseline, evaluations),
            "failure": self._failure(recipe),
        }

    def _compare(self, baseline: Evaluations | None, own: Evaluations | None) -> dict[str, dict[str, Any]] | None:
        return compare_with(baseline, own) if baseline and own and own != baseline else None

    def _failure(self, recipe: Recipe) -> str | None:
        folders = [run_folder(self.out, recipe, seed) for seed in self.choices.seeds]
        found = [self.failures.get(folder.name) or unsound_record(folder) for folder in folders]
        return next((sentence for sentence in found if sentence), None)


def _run(seed: int, folder: Path, scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores of a run and where they came from; what an earlier version did not record is None, or an empty list."""
    evaluation = scores["evaluation"]
    run = Run.open(folder)
    return {
        "seed": seed,
        "rank-1": 100 * evaluation["cmc"]["1"],
        "mAP": 100 * evaluation["mAP"],
        "model": evaluation["protocol"]["model"],
        "training_seconds": scores["seconds"],
        "folder": folder.name,
        "weights": run.weights or None,
        "resolved": run.resolved,
        "sessions": list(run.sessions),
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


def _data_facts(data: Data) -> dict[str, Any]:
    splits, sentence = _compare_with_lists(data.manifest)
    return {
        "name": data.manifest.name,
        "train_digest": data.train_digest,
        "test_digest": data.test_digest,
        "splits": splits,
        "sentence": sentence,
    }


@lru_cache(maxsize=1)
def _compare_with_lists(manifest: Manifest) -> tuple[list[dict[str, Any]], str]:
    return compare_with_lists(manifest)


def qualifiers(choices: Choices, data: Data, out: Path, rows: Sequence[str]) -> list[str]:
    """Why numbers of some rows are no reproduction of the report's; empty if they are.

    Other weights to begin from are a change, the report's own are none, wherever they lie.

    Args:
        choices: how the rows were run.
        data: that they were run on.
        out: the folder above `runs`.
        rows: identifiers.
    """
    scaled = choices.scale.words(max(derive(row).load().training.epochs for row in rows))
    foreign = foreign_data(data.manifest)
    changes = choices.changes
    if any(change.startswith(WEIGHTS) for change in changes) and all(
        _begins_as_published(choices, out, row) for row in rows
    ):
        changes = tuple(change for change in changes if not change.startswith(WEIGHTS))
    recipes = [choices.recipe(row) for row in rows]
    fast = describe_speed(run_folder(out, recipe, seed) for recipe in recipes for seed in choices.seeds)
    return [
        *([foreign] if foreign else []),
        *([f"scaled down: {', '.join(scaled)}"] if scaled else []),
        *([f"changed: {', '.join(changes)}"] if changes else []),
        *([fast] if fast else []),
    ]


def _begins_as_published(choices: Choices, out: Path, row: str) -> bool:
    """Whether a row's runs begin with the report's own weights: as they recorded it, or as its file says."""
    recipe = choices.recipe(row)
    files = [run_folder(out, recipe, seed) / "run.json" for seed in choices.seeds]
    recorded: list[Mapping[str, Any] | None] = [
        weights for file in files if file.is_file() and (weights := Run.open(file.parent).weights)
    ]
    return all(is_own(recipe.model, weights) for weights in recorded or [None])
