"""Gallery rows by track, and rows whose values lie in ranges: what counting looks up for each query."""

import numpy as np

from samecar.similarity.products import Matrix, Rows

BUCKETS = 1024
"""Steps between a query's first and last doubtful distance in which others are sought."""


class Tracks:
    """Gallery rows by track."""

    def __init__(self, tracks: Rows) -> None:
        self._order = np.argsort(tracks, kind="stable")  # gallery rows, one track after the other
        self._starts = np.searchsorted(tracks[self._order], np.arange(tracks.max() + 1))
        self._sizes = np.diff([*self._starts, len(tracks)])

    def nearest(self, distances: Matrix) -> Matrix:
        """The smallest distance of each track, (tracks,), from those of gallery rows."""
        return np.minimum.reduceat(distances[self._order], self._starts)

    def members(self, tracks: Rows) -> tuple[Rows, Rows]:
        """Gallery rows of some tracks, one track after the other, and where each begins."""
        starts = self._starts[tracks]
        rows = [self._order[start : start + size] for start, size in zip(starts, self._sizes[tracks], strict=True)]
        ends = np.cumsum(self._sizes[tracks])
        return np.concatenate([np.empty(0, np.int64), *rows]), ends - self._sizes[tracks]


def join_ranges(starts: Rows, ends: Rows) -> Rows:
    """Numbers in any of some ranges, rising; neither their starts nor their ends ever fall."""
    starts = np.maximum(starts, np.concatenate([[0], ends[:-1]]))
    counts = ends - starts
    numbers: Rows = np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    return numbers


def rows_inside(values: Matrix, low: Matrix, high: Matrix) -> Rows:
    """Where values lie in any of some ranges, whose bounds never fall and belong to them; NaN is in none."""
    span = float(high[-1]) - float(low[0])
    scale = np.float32(BUCKETS / span if span > BUCKETS * 1e-30 else 0)
    first, last = ((bound - low[0]) * scale for bound in (low, high))
    edges = np.bincount(first.astype(np.int64), minlength=BUCKETS + 3)
    edges -= np.bincount(last.astype(np.int64) + 1, minlength=BUCKETS + 3)[: len(edges)]
    touched = np.cumsum(edges) > 0  # buckets that hold a part of a range
    buckets = (values - low[0]) * scale
    np.fmin(np.fmax(buckets, 0, out=buckets), BUCKETS + 2, out=buckets)  # NaN and what lies before: looked at below
    near: Rows = touched.take(buckets.astype(np.int64)).nonzero()[0]
    found = values[near]
    return near[low.searchsorted(found, side="right") > high.searchsorted(found, side="left")]
