"""How far a score could be off by chance, and whether two scores differ by more than that.

Queries of one vehicle succeed and fail together: what counts is the number of vehicles. Few vehicles that all succeed
say little about the one that would not. So every variance is that of the vehicles seen, and of some more that are as
unlike the others as can be: `UNSEEN` and `UNSEEN_DIFFERENCES` say how many. How often such intervals hold the truth is
simulated in benchmarks/intervals.py.
"""

import math
from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.errors import check_seed

PERMUTATIONS = 10_000
"""Random exchanges behind a p-value, which can thus not fall below 1/10,001."""

LEVEL = 0.95
"""Share of intervals that should hold the truth."""

CHANCE = 0.05
"""A difference with a p-value below this is called more than chance."""

UNSEEN = 2.0
"""Vehicles that a score's variance is given besides those seen, each of them all right or all wrong."""

UNSEEN_DIFFERENCES = 0.5
"""The same for a difference, with a vehicle that the one run has all right and the other all wrong."""

LEAST_EFFECTIVE = 0.5
"""Share of the vehicles that is the least effective number; one below comes of a variance that was overestimated."""

ROUNDING = 1e-12
"""Of sums of differences: what is this near is equal."""


MANY_DEGREES = 1000
"""Degrees of freedom from which on Student's t is so near the normal distribution that four terms tell the rest."""


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


def confidence_intervals(metrics: Mapping[str, Scores], vehicle_id: NDArray[np.str_]) -> dict[str, tuple[float, float]]:
    """Intervals at the level of 95 % over the choice of vehicles, see `score_interval`; the gallery stays as it is.

    Args:
        metrics: by name; values from 0 to 1.
        vehicle_id: (queries,).

    Returns:
        By metric; empty where fewer than two vehicles were scored.
    """
    scored = np.logical_or.reduce([np.isfinite(scores.values) for scores in metrics.values()])
    names, vehicles = np.unique(vehicle_id[scored], return_inverse=True)
    if len(names) < 2:
        return {}
    sums = {name: scores.select(scored).by_vehicle(vehicles) for name, scores in metrics.items()}
    return {
        name: score_interval(
            total.sum() / weight.sum(),
            _variance_of_mean(total, weight),
            vehicles=_effective_number(weight),
            degrees=len(names) - 1,
        )
        for name, (total, weight) in sums.items()
    }


def score_interval(score: float, variance: float, *, vehicles: float, degrees: int) -> tuple[float, float]:
    """Wilson's interval with an effective number of vehicles, at the level of 95 %.

    The effective number is that of independent vehicles, each right or wrong, whose share of right ones would vary as
    much as the score (Wilson, "Probable inference", 1927; Korn and Graubard, "Confidence intervals for proportions with
    small expected number of positive counts estimated from survey data", 1998). Student's t takes the place of the
    normal quantile.

    Args:
        score: from 0 to 1.
        variance: of the score, estimated.
        vehicles: how many it was measured on.
        degrees: of freedom of the estimate.
    """
    worst = score * (1 - score) / vehicles  # each vehicle is all right or all wrong
    variance = (degrees * variance + UNSEEN * worst) / (degrees + UNSEEN)
    number = max(score * (1 - score) / variance, vehicles * LEAST_EFFECTIVE) if variance > 0 else vehicles
    squared = _quantile(degrees) ** 2
    middle = (score + squared / (2 * number)) / (1 + squared / number)
    half = np.sqrt(squared * (score * (1 - score) / number + squared / (4 * number**2))) / (1 + squared / number)
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def compare(
    first: Scores, second: Scores, vehicle_id: NDArray[np.str_], *, samples: int = PERMUTATIONS, seed: int = 1
) -> Comparison:
    """Compares two runs query by query.

    The p-value is that of a paired, two-sided permutation test: were both runs alike, the results of each vehicle
    could as well be exchanged. The observed order is counted among the permutations, so that the p-value is never zero
    (Phipson and Smyth, "Permutation P-values should never be zero", 2010).

    The interval holds zero if and only if the p-value is at least `CHANCE`: it holds the differences that the same
    test would not refuse (Hartigan, "Using subsample values as typical values", 1969). Where few vehicles differ it
    would be too narrow; away from zero it reaches as far as an interval by Student's t does, if that is further.

    Args:
        first: a metric of the one run, by query.
        second: the same of the other run, on the same queries.
        vehicle_id: (queries,).
        samples: permutations.
        seed: of permutations.
    """
    scored = np.isfinite(first.values) & np.isfinite(second.values)
    first, second = first.select(scored), second.select(scored)
    _, vehicles = np.unique(vehicle_id[scored], return_inverse=True)
    (ours, weights), (theirs, _) = first.by_vehicle(vehicles), second.by_vehicle(vehicles)
    differences = theirs - ours
    observed = float(differences.sum() / weights.sum())
    generator = np.random.default_rng(check_seed(seed))
    signs = (2.0 * generator.integers(2, size=(part, len(weights))) - 1 for part in _parts(samples, len(weights)))
    sums = np.concatenate([np.stack([part @ differences, part @ weights]) for part in signs], axis=1)  # (2, samples)
    extreme = int((np.abs(sums[0] / weights.sum()) >= abs(observed) - ROUNDING).sum())
    p_value = (extreme + 1) / (samples + 1)
    low, high = _not_refused(sums, differences.sum(), weights.sum())
    reach = _reach(differences, weights)
    if low <= ROUNDING:
        low = min(low, observed - reach, 0.0)
    if high >= -ROUNDING:
        high = max(high, observed + reach, 0.0)
    return Comparison(first.mean, second.mean, observed, (max(-1.0, low), min(1.0, high)), p_value)


def _not_refused(sums: NDArray[np.float64], difference: float, weight: float) -> tuple[float, float]:
    """The lowest and the highest difference that a permutation test does not refuse.

    Were the true difference d, the vehicles' differences less d times their weights could be exchanged. A permutation
    with the sums s and w is as extreme as what was seen where |s - d w| >= |difference - d weight|: between the mean of
    the vehicles that it exchanges and the mean of the others.

    Args:
        sums: (2, permutations) of signed differences and of signed weights.
        difference: the sum of differences.
        weight: the sum of weights.
    """
    signed, signed_weight = sums
    exchanged, kept = weight - signed_weight, weight + signed_weight  # twice the weight of these vehicles
    all_or_none = np.minimum(exchanged, kept) <= ROUNDING * weight  # such a permutation is as extreme for every d
    means = np.stack(
        [
            np.divide(difference - signed, exchanged, out=np.full_like(signed, np.inf), where=~all_or_none),
            np.divide(difference + signed, kept, out=np.full_like(signed, -np.inf), where=~all_or_none),
        ]
    )
    lows, highs = np.sort(means.min(axis=0)), np.sort(means.max(axis=0))
    needed = int(np.ceil(CHANCE * (sums.shape[1] + 1) - ROUNDING)) - 1  # besides the observed order
    if needed < 1:
        return -np.inf, np.inf
    return float(lows[needed - 1]), float(highs[-needed])


def _reach(differences: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Half the width of an interval by Student's t of a weighted mean of differences; 2, all there is, of a vehicle."""
    degrees = len(weights) - 1
    if degrees < 1:
        return 2.0
    worst = 1 / _effective_number(weights)
    variance = degrees * _variance_of_mean(differences, weights) + UNSEEN_DIFFERENCES * worst
    return _quantile(degrees) * float(np.sqrt(variance / (degrees + UNSEEN_DIFFERENCES)))


def _variance_of_mean(sums: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Variance of the weighted mean over vehicles, (vehicles,) each: that of a ratio, linearised."""
    vehicles = len(weights)
    residuals = sums - sums.sum() / weights.sum() * weights
    return float(vehicles / (vehicles - 1) * (residuals**2).sum() / weights.sum() ** 2)


def _effective_number(weights: NDArray[np.float64]) -> float:
    """Of equal weights their number; fewer if some weigh more (Kish, "Survey Sampling", 1965)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def _quantile(degrees: int) -> float:
    """What Student's t stays below, up or down, with a probability of `LEVEL`; to thirteen digits."""
    return _quantile_of_few(degrees) if degrees < MANY_DEGREES else _quantile_of_many(degrees)


def _quantile_of_few(degrees: int) -> float:
    """Solves the distribution's finite series (Abramowitz and Stegun, 26.7.3 and 26.7.4) by Newton's method.

    The share below an angle, t = √degrees · tan(angle), rises ever more slowly, so that no step goes too far.
    """
    odd = degrees % 2 == 1
    number = np.arange(1, (degrees - 1) // 2 + 1 if odd else degrees // 2)
    ratios = 2 * number / (2 * number + 1) if odd else (2 * number - 1) / (2 * number)  # of the series' terms
    slope = 2 / math.pi * np.prod(2 * number / (2 * number - 1)) if odd else np.prod((2 * number + 1) / (2 * number))
    angle, step = 0.0, 1.0
    while step > 1e-10:  # what is left is of the order of its square
        sine, cosine = math.sin(angle), math.cos(angle)
        series = float(np.cumprod(np.concatenate([[1.0], ratios[: -1 if odd else None] * cosine**2])).sum())
        share = 2 / math.pi * (angle + (degrees > 1) * sine * cosine * series) if odd else sine * series
        step = (LEVEL - share) / float(slope * cosine ** (degrees - 1))
        angle += step
    return math.sqrt(degrees) * math.tan(angle)


def _quantile_of_many(degrees: int) -> float:
    """The expansion around the normal distribution's (Abramowitz and Stegun, 26.7.5)."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / degrees**power for power, term in enumerate(terms, start=1))


def _parts(samples: int, vehicles: int) -> Iterator[int]:
    """Splits samples so that each part holds about a million numbers."""
    step = max(1, 1_000_000 // max(1, vehicles))
    for start in range(0, samples, step):
        yield min(step, samples - start)
