"""Metrics of retrieval as pure functions of the ranks that a query's matches have.

A query's ranks are the places of its matches in the gallery, junk taken out, rising, from 1. A query without a match
has no ranks and no score: it is skipped, counted, and never enters a denominator.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.int64]


def average_precision(ranks: Ranks) -> float:
    """Mean, over a query's matches, of the precision at the rank of each; not interpolated.

    The denominator is the number of matches in the whole gallery.

    >>> average_precision(np.array([1, 3]))  # (1/1 + 2/3) / 2
    0.8333333333333333

    Raises:
        ValueError: there are no ranks.
    """
    return float(np.mean(np.arange(1, len(_some(ranks)) + 1) / ranks))


def inverse_negative_penalty(ranks: Ranks) -> float:
    """Number of matches divided by the rank of the last one: 1 when no wrong picture comes before it.

    INP of Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", arXiv 2001.04193, eq. (8).

    >>> inverse_negative_penalty(np.array([1, 4]))
    0.5

    Raises:
        ValueError: there are no ranks.
    """
    return float(len(_some(ranks)) / ranks[-1])


def cumulative_matching(ranks: Iterable[Ranks], at: Sequence[int]) -> dict[int, float]:
    """CMC: the share of queries whose first match is at or before a rank.

    The denominator is the number of queries that have a match; with none, every value is NaN.

    >>> cumulative_matching([np.array([1, 5]), np.array([3])], at=(1, 5))
    {1: 0.5, 5: 1.0}
    """
    first = np.array([query[0] for query in ranks if len(query)])
    return {rank: float(np.mean(first <= rank)) if len(first) else float("nan") for rank in at}


def _some(ranks: Ranks) -> Ranks:
    if not len(ranks):
        raise ValueError("a query without a match has no score; skip it and count it")
    return ranks
