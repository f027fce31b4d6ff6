"""Whether a vehicle is in a gallery at all: thresholds on a query's best similarity."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from samecar.calibration.part import Part, refuse_falling

SIZES_PER_DOUBLING = 2
"""Gallery sizes between a number of vehicles and twice as many at which thresholds are measured."""

FEWEST_EXCESSES, TAIL = 50, 0.01
"""Similarities of different vehicles that the tail is fitted to: the highest hundredth, but no fewer than so many."""

ROUNDING = 1e-9
"""Of sums of shares."""


class OpenSet(Part):
    """The threshold on a query's best similarity, for a gallery of any size.

    The more pictures a gallery has, the more similar is the most similar wrong one. Up to `pictures[-1]` thresholds are
    measured; beyond they follow the generalised Pareto distribution of the highest similarities of different vehicles,
    as a level that is reached once in so many comparisons: an extrapolation.

    Attributes:
        false_alarm_rate: share of queries whose vehicle the gallery lacks that are still said to be in it.
        pictures: gallery sizes, rising.
        thresholds: at these sizes, never falling.
        shape: of the generalised Pareto distribution above the last threshold; below 0 it has an end.
        scale: of the same.
    """

    false_alarm_rate: float = Field(gt=0, lt=1)
    pictures: tuple[float, ...] = Field(min_length=1)
    thresholds: tuple[float, ...]
    shape: float
    scale: float = Field(ge=0)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        refuse_falling("pictures", self.pictures, self.thresholds)
        return self

    @classmethod
    def fit(cls, best: NDArray[np.floating], pictures_per_vehicle: float, false_alarm_rate: float) -> "OpenSet":
        """Measures thresholds on galleries of some vehicles, see `MeasuredThresholds`, and fits the tail above them."""
        return MeasuredThresholds(best, pictures_per_vehicle, false_alarm_rate).extrapolated

    def threshold(self, gallery_pictures: float, false_alarm_rate: float | None = None) -> float:
        """The similarity from which a best match counts, at most 1.

        Another rate is taken for that of another gallery: where comparisons are independent of each other, one in a
        hundred queries reaches in one picture what every second query reaches in seventy. A query that is like
        everything reaches it more often, so that a much lower rate than the measured one is an extrapolation too.

        Args:
            gallery_pictures: how many pictures a query is compared with.
            false_alarm_rate: the share of queries whose vehicle the gallery lacks that may reach it; None takes the
                rate that thresholds were measured for.
        """
        if false_alarm_rate is not None:
            gallery_pictures *= float(np.log1p(-self.false_alarm_rate) / np.log1p(-false_alarm_rate))
        if gallery_pictures <= self.pictures[-1]:
            return _interpolate(gallery_pictures, self.pictures, self.thresholds)
        times = gallery_pictures / self.pictures[-1]
        beyond = np.log(times) if self.shape == 0 else np.expm1(self.shape * np.log(times)) / self.shape
        return float(min(1.0, self.thresholds[-1] + self.scale * beyond))

    def gallery_pictures(self, similarities: NDArray[np.float64]) -> NDArray[np.float64]:
        """The largest gallery whose threshold these similarities reach: `threshold` read the other way.

        Args:
            similarities: of any shape.

        Returns:
            Numbers of pictures in the same shape; infinite where no gallery is too large.
        """
        places = np.searchsorted(self.thresholds, similarities, side="right")  # of the first threshold that is higher
        logarithms = np.log(self.pictures)
        below = np.clip(places - 1, 0, len(self.pictures) - 1)
        above = np.minimum(below + 1, len(self.pictures) - 1)
        first, second = (np.asarray(self.thresholds)[ends] for ends in (below, above))
        share = np.clip((similarities - first) / np.where(second > first, second - first, 1.0), 0.0, 1.0)
        measured = np.exp(logarithms[below] + share * (logarithms[above] - logarithms[below]))
        excesses = np.maximum(similarities - self.thresholds[-1], 0.0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            scaled = np.where(excesses > 0, excesses / self.scale, 0.0)
            grown = scaled if self.shape == 0 else np.log1p(np.maximum(self.shape * scaled, -1.0)) / self.shape
            beyond = self.pictures[-1] * np.exp(grown)
        return np.where(excesses > 0, beyond, measured)


class MeasuredThresholds:
    """Thresholds for galleries that can be made of some vehicles; each is measured when it is asked for.

    A vehicle that comes later is one more than those seen here, and may turn out to be the worst of them: it is counted
    among those that reach the threshold, so that the rate holds on average for few vehicles too.

    Args:
        best: (queries, vehicles) similarity of each query's most similar picture of each vehicle that a gallery may
            hold; -infinite for the query's own, and where there is nothing to compare.
        pictures_per_vehicle: mean over a gallery.
        false_alarm_rate: above 0 and below 1.
    """

    def __init__(self, best: NDArray[np.floating], pictures_per_vehicle: float, false_alarm_rate: float) -> None:
        falling = -np.sort(-best.astype(np.float64), axis=1)  # (queries, vehicles)
        falling = falling[np.isfinite(falling[:, 0])]
        self._shape = falling.shape
        self._known = np.isfinite(falling).sum(axis=1)  # (queries,)
        self._order = np.argsort(-falling, axis=None, kind="stable")
        self._values = values = falling.ravel()[self._order]
        self._last = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # of equal values, reached together
        self._rate = false_alarm_rate
        self._sizes = gallery_sizes(int(self._known.min()))
        self._pictures = tuple(size * pictures_per_vehicle for size in self._sizes)
        self._measured: dict[int, float] = {}

    @property
    def extrapolated(self) -> OpenSet:
        """The same for a gallery of any size; fitting what lies above takes most of the time."""
        thresholds = np.maximum.accumulate([self._at(size) for size in self._sizes]).tolist()
        shape, scale = _tail(self._values[np.isfinite(self._values)], thresholds[-1])
        return OpenSet(
            false_alarm_rate=self._rate, pictures=self._pictures, thresholds=tuple(thresholds), shape=shape, scale=scale
        )

    def threshold(self, gallery_pictures: float) -> float:
        """The similarity from which a best match counts, as `OpenSet.threshold` gives it."""
        if gallery_pictures > self._pictures[-1]:
            return self.extrapolated.threshold(gallery_pictures)
        above = min(bisect_left(self._pictures, gallery_pictures), len(self._sizes) - 1)
        between = slice(max(0, above - 1), above + 1)
        measured = np.maximum.accumulate([self._at(size) for size in self._sizes[between]]).tolist()
        return _interpolate(gallery_pictures, self._pictures[between], measured)

    def _at(self, size: int) -> float:
        """For a gallery of so many vehicles, exactly over all such galleries."""
        if size not in self._measured:
            queries, vehicles = self._shape
            reaching = (self._rate * (vehicles + 1) - 1) / vehicles + ROUNDING
            shares = _share_of_best(self._known, vehicles, size).ravel()[self._order] / queries
            few_enough = self._last[np.cumsum(shares)[self._last] <= reaching]
            values = self._values
            self._measured[size] = float(values[few_enough[-1]] if len(few_enough) else np.nextafter(values[0], np.inf))
        return self._measured[size]


def _interpolate(gallery_pictures: float, pictures: Sequence[float], thresholds: Sequence[float]) -> float:
    return float(np.interp(np.log(max(gallery_pictures, 1)), np.log(pictures), thresholds))


def gallery_sizes(most: int) -> list[int]:
    """Numbers of vehicles from 1 to `most`, each a step more than the one before."""
    steps = int(np.ceil(np.log2(most) * SIZES_PER_DOUBLING)) + 1
    return sorted({round(size) for size in np.geomspace(1, most, steps).tolist()})


def _share_of_best(known: NDArray[np.int64], columns: int, size: int) -> NDArray[np.float64]:
    """How likely each rank is the best of a gallery of `size` vehicles drawn from those known.

    Rank j, from 0, is the best if it is drawn and none before it is: C(known - 1 - j, size - 1) / C(known, size).

    Args:
        known: (queries,) vehicles to draw from.
        columns: ranks.
        size: vehicles drawn.

    Returns:
        (queries, columns); each row's sum is one.
    """
    after = known[:, None] - 1 - np.arange(columns)  # (queries, columns) vehicles behind the rank
    possible = after >= size - 1
    ways = _log_choose(np.where(possible, after, size - 1), size - 1) - _log_choose(known, size)[:, None]
    return np.where(possible, np.exp(ways), 0.0)


def _log_choose(all_of: NDArray[np.int64], some: int) -> NDArray[np.float64]:
    from scipy.special import gammaln

    ways: NDArray[np.float64] = gammaln(all_of + 1) - gammaln(some + 1) - gammaln(all_of - some + 1)
    return ways


def _tail(values: NDArray[np.float64], threshold: float) -> tuple[float, float]:
    """Shape and scale of the generalised Pareto distribution above a threshold.

    Args:
        values: falling.
        threshold: above which the distribution is wanted; it is fitted from there, or from further down if few values
            lie above.
    """
    from scipy.stats import genpareto  # takes long to import, and only fitting needs it

    count = min(max(FEWEST_EXCESSES, round(TAIL * len(values))), len(values) - 1)
    start = min(values[count], threshold)
    excesses = values[values > start] - start
    if not len(excesses):  # the highest are all equal
        return 0.0, 0.0
    shape, _, scale = genpareto.fit(excesses / excesses.mean(), floc=0)
    scale *= excesses.mean()
    return float(shape), float(max(0.0, scale + shape * (threshold - start)))
