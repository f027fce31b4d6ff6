"""Whether rows differ by more than chance in the choice of vehicles, from the queries that their runs saved."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from samecar.evaluation.records import SavedQueries, queries_path
from samecar.files import read_json
from samecar.uncertainty import Comparison

SIGNIFICANCE = 0.05
"""A p-value below it is outside chance."""

METRICS = ("rank-1", "mAP")


class Evaluations(NamedTuple):
    """Saved evaluations of one recipe, with one or several seeds.

    Attributes:
        files: JSON files, each with a table of queries beside it.
        changed: when those tables were last written, in nanoseconds, so that what was computed of them is kept.
    """

    files: tuple[Path, ...]
    changed: tuple[int, ...]


def find_evaluations(scored: Sequence[tuple[Path, Mapping[str, Any]]]) -> Evaluations | None:
    """The saved evaluations that belong to scores.

    Args:
        scored: run folders with their scores, from `saved_scores`.

    Returns:
        None where there is no run, or a run kept no queries.
    """
    files = [_find_evaluation(folder, scores) for folder, scores in scored]
    found = tuple(file for file in files if file)
    if not found or len(found) < len(files):
        return None
    return Evaluations(found, tuple(queries_path(file).stat().st_mtime_ns for file in found))


def _find_evaluation(folder: Path, scores: Mapping[str, Any]) -> Path | None:
    """The file of the same protocol card: a run may have been scored on other pictures or by other rules too."""
    for file in sorted((folder / "evaluations").glob("*.json")):
        if queries_path(file).is_file() and read_json(file).get("protocol") == scores["evaluation"]["protocol"]:
            return file
    return None


@cache
def intervals(runs: Evaluations) -> dict[str, list[float]]:
    """Of 95 % confidence over vehicles in percent, of the mean over seeds, by metric; empty with a single vehicle."""
    found = _read(runs).intervals()
    return {metric: [100 * end for end in found[metric]] for metric in METRICS if metric in found}


@cache
def compare_with(baseline: Evaluations, runs: Evaluations) -> dict[str, dict[str, Any]] | None:
    """Compares runs with those of a baseline, query by query, vehicle by vehicle.

    Each query has the mean of its values over seeds. What is exchanged at random is whether a vehicle's queries count
    for the one or for the other: so the p-value knows of chance in the choice of vehicles, not between seeds.

    Returns:
        By metric the difference and its 95 % interval in percent, the p-value, and whether it is below `SIGNIFICANCE`;
        None where no query was scored by both.
    """
    first, second = _read(baseline), _read(runs)
    if not set(first.keys) & set(second.keys):
        return None
    found = first.compare(second)
    return {metric: _describe(found[metric]) for metric in METRICS}


def _describe(comparison: Comparison) -> dict[str, Any]:
    return {
        "difference": 100 * comparison.difference,
        "interval": [100 * end for end in comparison.interval],
        "p_value": comparison.p_value,
        "outside_chance": comparison.p_value < SIGNIFICANCE,
    }


@cache
def _read(runs: Evaluations) -> SavedQueries:
    return SavedQueries.read(runs.files)
