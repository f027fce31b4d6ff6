"""Are two pictures of the same vehicle? The share of matching pairs found under one threshold for all queries."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FALSE_POSITIVE_RATES = (1e-4, 1e-3, 1e-2, 1e-1)

BINS = 2**18
"""Steps between zero and the largest counted distance in which pairs are told apart."""


class OperatingPoint(NamedTuple):
    """What one threshold on the distance gives.

    Attributes:
        true_positive_rate: matching pairs that are accepted, over all matching pairs.
        threshold: pairs that are nearer are accepted.
    """

    true_positive_rate: float
    threshold: float


class OtherPairs:
    """Distances of pairs that do not match, counted in steps.

    Attributes:
        limit: distances above are known in number only.
        total: pairs in all.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.total = 0
        self._counts = np.zeros(BINS, np.int64)

    def add(self, near: NDArray[np.floating], total: int) -> None:
        """Counts pairs.

        Args:
            near: distances up to `limit`; (pairs,).
            total: pairs in all, those above the limit included.
        """
        if len(near):
            self._counts += np.bincount(self._bins(near), minlength=BINS)
        self.total += total

    def reaches(self, rate: float) -> bool:
        """Whether the limit is high enough to tell the threshold for a false positive rate."""
        return bool(self._counts.sum() > rate * self.total) or not self.total

    def operating_point(self, matches: NDArray[np.float64], rate: float) -> OperatingPoint:
        """The threshold that accepts the most matching pairs while no more than a share of the others is accepted.

        It lies on a step: a match and another pair in one step count as equally far, and are accepted together or not
        at all. Nothing is interpolated.

        Args:
            matches: distances of matching pairs, (matches,).
            rate: false positive rate, the share of pairs that do not match.
        """
        accepted = np.cumsum(self._counts)
        step = int(np.searchsorted(accepted, rate * self.total, side="right"))  # the first that is too much
        threshold = step * self.limit / BINS if step < BINS else np.inf
        found = float(np.mean(self.accepted(matches, threshold))) if len(matches) else float("nan")
        return OperatingPoint(found, float(threshold))

    def accepted(self, matches: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
        """Which of some pairs a threshold accepts; (matches,)."""
        if not np.isfinite(threshold):
            return np.ones(len(matches), np.bool_)
        step = round(threshold * BINS / self.limit)
        return (matches <= self.limit) & (self._bins(matches) < step)

    def _bins(self, distances: NDArray[np.floating]) -> NDArray[np.int64]:
        bins: NDArray[np.int64] = np.clip(distances * (BINS / self.limit), 0, BINS - 1).astype(np.int64)
        return bins
