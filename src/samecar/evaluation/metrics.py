"""Metrics of retrieval as pure functions of the ranks that a query's matches have.

A query's ranks are the places of its matches in the gallery, junk taken out, rising, from 1. A query without a match
has no ranks and no score: it is skipped, counted, and never enters a denominator.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError

Ranks = NDArray[np.int64]
Interpolation = Literal["none", "trapezoid", "maximum"]


def find_interpolation(name: str) -> Interpolation:
    """Gives an interpolation of average precision by name.

    Raises:
        SamecarError: there is none of that name.
    """
    for known in get_args(Interpolation):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise SamecarError(f"unknown interpolation {name!r}; known are {', '.join(get_args(Interpolation))}")


def average_precision(ranks: Ranks, interpolation: Interpolation = "none") -> float:
    """Mean, over a query's matches, of the precision at the rank of each.

    The denominator is the number of matches in the whole gallery.

    >>> average_precision(np.array([1, 3]))  # (1/1 + 2/3) / 2
    0.8333333333333333

    Args:
        ranks: of the query's matches.
        interpolation: 'none' takes each precision as it is; 'trapezoid' the mean of it and the precision one rank
            before, which is 1 before the first rank, as the evaluation code of the Oxford Buildings and Market-1501
            does; 'maximum' the highest precision there or at any later match, as in PASCAL VOC since 2010.

    Raises:
        ValueError: there are no ranks.
    """
    return float(average_precisions(_some(ranks), np.array([len(ranks)]), interpolation)[0])


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


def average_precisions(ranks: Ranks, counts: Ranks, interpolation: Interpolation = "none") -> NDArray[np.float64]:
    """The average precision of each query at once.

    Args:
        ranks: (matches,) of all queries, one after the other.
        counts: (queries,) how many of them each query has.
        interpolation: see `average_precision`.

    Returns:
        (queries,) NaN for a query without a match.
    """
    places = places_within(counts)
    precisions = places / ranks
    if interpolation == "trapezoid":
        before = np.divide(places - 1, ranks - 1, out=np.ones(len(ranks)), where=ranks > 1)
        precisions = (precisions + before) / 2
    elif interpolation == "maximum":
        query = np.repeat(np.arange(len(counts)), counts)
        # Shifting each query above all before it keeps the running maximum, from the end, within the query.
        precisions = np.maximum.accumulate((precisions - 2 * query)[::-1])[::-1] + 2 * query
    return sums_by_query(precisions, counts) / np.where(counts > 0, counts, np.nan)


def inverse_negative_penalties(ranks: Ranks, counts: Ranks) -> NDArray[np.float64]:
    """The `inverse_negative_penalty` of each query, from the arguments of `average_precisions`; (queries,)."""
    return counts / ends_within(ranks, counts, last=True)


def first_ranks(ranks: Ranks, counts: Ranks) -> NDArray[np.float64]:
    """The rank of each query's first match, from the arguments of `average_precisions`; (queries,), NaN for none."""
    return ends_within(ranks, counts, last=False)


def places_within(counts: Ranks) -> Ranks:
    """1, 2, … for each query's matches, one query after the other; (matches,)."""
    places: Ranks = np.arange(1, counts.sum() + 1) - np.repeat(np.cumsum(counts) - counts, counts)
    return places


def ends_within(values: NDArray[np.int64], counts: Ranks, *, last: bool) -> NDArray[np.float64]:
    """Each query's first or last value, (queries,); NaN where it has none."""
    found = np.full(len(counts), np.nan)
    ends = np.cumsum(counts)
    places = ends - 1 if last else ends - counts
    found[counts > 0] = values[places[counts > 0]]
    return found


def sums_by_query(values: NDArray[np.float64], counts: Ranks) -> NDArray[np.float64]:
    """The sum of each query's values, (queries,); each is added up by itself, in its own order."""
    sums = np.zeros(len(counts))
    some = counts > 0
    if some.any():
        sums[some] = np.add.reduceat(values, (np.cumsum(counts) - counts)[some])
    return sums


def _some(ranks: Ranks) -> Ranks:
    if not len(ranks):
        raise ValueError("a query without a match has no score; skip it and count it")
    return ranks
