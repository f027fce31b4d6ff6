"""How far a score could be off by chance, and whether two scores differ by more than that.

Queries of one vehicle succeed and fail together; what is drawn anew or exchanged is therefore always a whole vehicle.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SAMPLES = 1000
"""Bootstrap samples of vehicles behind a confidence interval."""

PERMUTATIONS = 10_000
"""Random exchanges behind a p-value, which can thus not fall below 1/10,001."""

LEVEL = 0.95

CHANCE = 0.05
"""A difference with a p-value below this is called more than chance."""


class Scores(NamedTuple):
    """One metric by query: a score is the weighted mean of its values.

    Attributes:
        values: (queries,) NaN for a skipped query.
        weights: (queries,) one, or matches where each match counts the same.
    """

    values: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """The score; NaN where every query was skipped."""
        used = np.isfinite(self.values)
        return float(np.average(self.values[used], weights=self.weights[used])) if used.any() else float("nan")

    def select(self, queries: NDArray[np.bool_]) -> "Scores":
        """Some of the queries."""
        return Scores(self.values[queries], self.weights[queries])

    def by_vehicle(self, vehicles: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sums of weighted values and of weights; both (vehicles,)."""
        used, count = np.isfinite(self.values), int(vehicles.max()) + 1
        vehicles, weights = vehicles[used], self.weights[used]
        return (
            np.bincount(vehicles, self.values[used] * weights, minlength=count).astype(np.float64),
            np.bincount(vehicles, weights, minlength=count).astype(np.float64),
        )


class Comparison(NamedTuple):
    """Two runs on the same queries.

    Attributes:
        first: the score of the one.
        second: the score of the other.
        difference: second less first.
        interval: of the difference, at the level of 95 %.
        p_value: how often a difference as large comes about when runs are exchanged at random, vehicle by vehicle.
    """

    first: float
    second: float
    difference: float
    interval: tuple[float, float]
    p_value: float


def confidence_intervals(
    metrics: Mapping[str, Scores], vehicle_id: NDArray[np.str_], *, samples: int = SAMPLES, seed: int = 1
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals over vehicles, at the level of 95 %.

    Each sample draws as many vehicles as there are, with replacement, and takes all queries of each (Field and Welsh,
    "Bootstrapping clustered data", 2007). The gallery stays as it is.

    Args:
        metrics: by name.
        vehicle_id: (queries,).
        samples: how many are drawn; with none, or with a single vehicle, there are no intervals.
        seed: of random draws.
    """
    scored = np.logical_or.reduce([np.isfinite(scores.values) for scores in metrics.values()])
    if samples < 1 or len(np.unique(vehicle_id[scored])) < 2:
        return {}
    _, vehicles = np.unique(vehicle_id[scored], return_inverse=True)
    sums = [part for scores in metrics.values() for part in scores.select(scored).by_vehicle(vehicles)]
    drawn = _resample(np.stack(sums, axis=1), samples, seed)  # (samples, 2 × metrics)
    return {
        name: _interval(drawn[:, 2 * place] / np.maximum(drawn[:, 2 * place + 1], 1e-300))
        for place, name in enumerate(metrics)
    }


def compare(
    first: Scores, second: Scores, vehicle_id: NDArray[np.str_], *, samples: int = PERMUTATIONS, seed: int = 1
) -> Comparison:
    """Compares two runs query by query.

    The p-value is that of a paired, two-sided permutation test: were both runs alike, the results of each vehicle
    could as well be exchanged. The observed order is counted among the permutations, so that the p-value is never zero
    (Phipson and Smyth, "Permutation P-values should never be zero", 2010).

    Args:
        first: a metric of the one run, by query.
        second: the same of the other run, on the same queries.
        vehicle_id: (queries,).
        samples: permutations, and bootstrap samples of the interval.
        seed: of permutations and bootstrap samples.
    """
    scored = np.isfinite(first.values) & np.isfinite(second.values)
    first, second = first.select(scored), second.select(scored)
    _, vehicles = np.unique(vehicle_id[scored], return_inverse=True)
    (ours, weights), (theirs, _) = first.by_vehicle(vehicles), second.by_vehicle(vehicles)
    differences, total = theirs - ours, weights.sum()
    observed = differences.sum() / total
    generator = np.random.default_rng(seed)
    extreme = 1
    for part in _parts(samples, len(differences)):
        signs = 2.0 * generator.integers(2, size=(part, len(differences))) - 1
        extreme += int((np.abs(signs @ differences / total) >= abs(observed) - 1e-12).sum())
    drawn = _resample(np.stack([differences, weights], axis=1), samples, seed)
    interval = _interval(drawn[:, 0] / np.maximum(drawn[:, 1], 1e-300))
    return Comparison(first.mean, second.mean, float(observed), interval, extreme / (samples + 1))


def _resample(sums: NDArray[np.float64], samples: int, seed: int) -> NDArray[np.float64]:
    """Sums (vehicles, columns) over samples of as many vehicles, with replacement; (samples, columns)."""
    vehicles = len(sums)
    generator = np.random.default_rng(seed)
    results = []
    for part in _parts(samples, vehicles):
        drawn = generator.integers(vehicles, size=(part, vehicles)) + np.arange(part)[:, None] * vehicles
        times = np.bincount(drawn.ravel(), minlength=part * vehicles).reshape(part, vehicles)
        results.append(times @ sums)
    return np.concatenate(results)


def _parts(samples: int, vehicles: int) -> Iterator[int]:
    """Splits samples so that each part holds about a million numbers."""
    step = max(1, 1_000_000 // max(1, vehicles))
    for start in range(0, samples, step):
        yield min(step, samples - start)


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
