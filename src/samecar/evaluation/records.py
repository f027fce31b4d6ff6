"""Saved evaluations, and runs compared query by query."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samecar.data.tables import csv_bytes, rearm
from samecar.errors import SamecarError
from samecar.evaluation.results import Evaluation
from samecar.files import as_path, read_json, write_file, write_json
from samecar.uncertainty import Comparison, Scores, compare, confidence_intervals

QUERIES_SUFFIX = ".queries.csv"
RULES = (
    "initial_weights",
    "junk_rule",
    "gallery_rule",
    "distance",
    "interpolation",
    "data_digest",
    "post_processing",
    "side_information",
)
"""Lines of the card in which runs may differ while their queries can be paired, and a reader should be told."""


def save_evaluation(evaluation: Evaluation, path: str | Path) -> None:
    """Writes scores and card as JSON, and beside it each query's own as NAME.queries.csv, which `compare-runs` reads.

    Args:
        evaluation: the scores.
        path: a file that ends in .json.

    Raises:
        SamecarError: it ends otherwise.
    """
    path = as_path(path, "file of scores")
    if path.suffix != ".json":
        raise SamecarError(f"{path}: scores are written as .json; give a name that ends so")
    write_json(path, evaluation.as_dict())
    if evaluation.queries is None:
        return
    rows = list(evaluation.queries.rows())
    with write_file(queries_path(path)) as temporary:
        temporary.write_bytes(csv_bytes(list(rows[0]), ([str(value) for value in row.values()] for row in rows)))


@dataclass(frozen=True)
class RunComparison:
    """Two runs under one protocol.

    Attributes:
        name: of the evaluation.
        queries: that both have scored.
        vehicles: that these show.
        left_out: queries that only one of them has.
        differences: lines of the card that differ, and the matches if a query has others, each with both values.
        metrics: by name.
    """

    name: str
    queries: int
    vehicles: int
    left_out: int
    differences: dict[str, tuple[str, str]]
    metrics: dict[str, Comparison]

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "evaluation": self.name,
            "queries": self.queries,
            "vehicles": self.vehicles,
            "left_out": self.left_out,
            "differences": {name: list(values) for name, values in self.differences.items()},
            "metrics": {name: comparison._asdict() for name, comparison in self.metrics.items()},
        }


@dataclass(frozen=True)
class SavedQueries:
    """Queries that one or several saved evaluations scored, each with the mean of its values.

    Attributes:
        keys: draw and path of each query, sorted.
        vehicle_id: (queries,).
        metrics: by name: mAP, mINP, rank-1, rank-5.
    """

    keys: tuple[tuple[str, str], ...]
    vehicle_id: NDArray[np.str_]
    metrics: dict[str, Scores]

    @classmethod
    def read(cls, paths: Sequence[Path]) -> "SavedQueries":
        """Reads the queries that all of some evaluations scored, such as those of one recipe with several seeds.

        Args:
            paths: JSON files of evaluations, one or more.

        Raises:
            SamecarError: a table of queries is absent or damaged.
        """
        tables = [_read_queries(path) for path in paths]
        keys = sorted(set.intersection(*map(set, tables)))
        metrics = [_metrics([table[key] for key in keys]) for table in tables]
        return cls(
            tuple(keys),
            np.array([tables[0][key]["vehicle_id"] for key in keys], dtype=np.str_),
            {
                name: Scores(np.mean([each[name].values for each in metrics], axis=0), np.ones(len(keys)))
                for name in metrics[0]
            },
        )

    def select(self, keys: Iterable[tuple[str, str]]) -> "SavedQueries":
        """Those of the queries that are among some."""
        wanted = set(keys)
        chosen = np.array([key in wanted for key in self.keys], dtype=np.bool_)
        return SavedQueries(
            tuple(key for key in self.keys if key in wanted),
            self.vehicle_id[chosen],
            {name: scores.select(chosen) for name, scores in self.metrics.items()},
        )

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Of 95 % confidence over vehicles, by metric; empty where there are fewer than two vehicles."""
        return confidence_intervals(self.metrics, self.vehicle_id)

    def compare(self, other: "SavedQueries", *, seed: int = 1) -> dict[str, Comparison]:
        """Compares with others, as the second, on the queries that both hold, by metric.

        Args:
            other: at least one query of it must be among these.
            seed: of permutations.
        """
        ours, theirs = self.select(other.keys), other.select(self.keys)
        return {
            name: compare(ours.metrics[name], theirs.metrics[name], ours.vehicle_id, seed=seed) for name in ours.metrics
        }


def compare_runs(first: str | PathLike[str], second: str | PathLike[str], *, seed: int = 1) -> list[RunComparison]:
    """Compares two runs on the queries that both scored.

    Args:
        first: a run, its folder, or the JSON file of an evaluation.
        second: another; of two folders, all evaluations of the same name are compared.
        seed: of permutations.

    Raises:
        SamecarError: there is nothing to compare.
    """
    pairs = list(_pairs(as_path(first, "first run"), as_path(second, "second run")))
    return [_compare(ours, theirs, seed) for ours, theirs in pairs]


def _pairs(first: Path, second: Path) -> Iterator[tuple[Path, Path]]:
    files = [_evaluations(place) for place in (first, second)]
    if first.is_file() and second.is_file():
        yield first, second
        return
    if first.is_file() != second.is_file():
        name = (first if first.is_file() else second).name
        files = [{name: found[name]} if name in found else {} for found in files]
    common = sorted(set(files[0]) & set(files[1]))
    if not common:
        held = [", ".join(sorted(found)) or "none" for found in files]
        raise SamecarError(
            f"{first} and {second} have no evaluation in common (the one has {held[0]}, the other {held[1]}); "
            "`samecar evaluate` both on the same source with the same options"
        )
    for name in common:
        yield files[0][name], files[1][name]


def _evaluations(place: Path) -> dict[str, Path]:
    if place.is_file():
        return {place.name: place}
    folder = place / "evaluations"
    if not folder.is_dir():
        raise SamecarError(f"{place} holds no evaluations; give a run folder that was evaluated, or a .json of scores")
    return {path.name: path for path in sorted(folder.glob("*.json")) if queries_path(path).is_file()}


def _compare(first: Path, second: Path, seed: int) -> RunComparison:
    ours, theirs = SavedQueries.read([first]), SavedQueries.read([second])
    if not set(ours.keys) & set(theirs.keys):
        raise SamecarError(f"{first} and {second} have no scored query in common; score both on the same pictures")
    paired = ours.select(theirs.keys)
    cards = [read_json(path).get("protocol", {}) for path in (first, second)]
    differences = {
        name.replace("_", " "): (str(cards[0].get(name)), str(cards[1].get(name)))
        for name in RULES
        if cards[0].get(name) != cards[1].get(name)
    }
    matches = [_count_matches(path, paired.keys) for path in (first, second)]
    if matches[0] != matches[1]:  # other rules than the card tells, such as those of an older samecar
        differences["matches of these queries"] = (f"{sum(matches[0]):,}", f"{sum(matches[1]):,}")
    return RunComparison(
        first.stem,
        len(paired.keys),
        len(np.unique(paired.vehicle_id)),
        len(set(ours.keys) ^ set(theirs.keys)),
        differences,
        ours.compare(theirs, seed=seed),
    )


def _metrics(rows: list[dict[str, str]]) -> dict[str, Scores]:
    def column(name: str) -> NDArray[np.float64]:
        return np.array([float(row[name]) for row in rows])

    alike, first = np.ones(len(rows)), column("first_match")
    return {
        "mAP": Scores(column("average_precision"), alike),
        "mINP": Scores(column("inverse_negative_penalty"), alike),
        **{f"rank-{rank}": Scores((first <= rank).astype(np.float64), alike) for rank in (1, 5)},
    }


def _count_matches(path: Path, keys: Iterable[tuple[str, str]]) -> list[int]:
    """How many matches each of some queries had."""
    rows = _read_queries(path)
    return [int(rows[key]["matches"]) for key in keys]


def _read_queries(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Scored queries by draw and path."""
    table = queries_path(path)
    if not table.is_file():
        raise SamecarError(f"{path} has no {table.name} beside it, which holds its queries; score it again")
    try:
        with table.open(newline="", encoding="utf-8") as file:
            found = {(row["draw"], rearm(row["path"])): row for row in csv.DictReader(file) if row["first_match"]}
    except (UnicodeDecodeError, csv.Error, KeyError) as error:
        raise SamecarError(f"{table} is no table of queries that `samecar` wrote: {error}") from error
    return found


def queries_path(path: Path) -> Path:
    """The table of queries that is saved beside the JSON file of an evaluation."""
    return path.with_name(path.name.removesuffix(".json") + QUERIES_SUFFIX)
