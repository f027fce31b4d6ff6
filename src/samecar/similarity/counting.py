"""The ranks of matches, counted while the distances are made: exact, in little memory, and nothing is sorted whole.

The rank of a match is its place among the matches plus the number of other pictures that are as near or nearer. A tie
is thus decided against the model, and no result depends on the order of the gallery, on chunks or on threads.

Distances come from a float32 matrix product, a chunk of queries at a time, and only others that stand before a query's
last match are looked at. Which of two pictures is nearer is taken from them only where they differ by more than the
product can be wrong; every closer pair is computed anew, in float64, from the embeddings as they were given: the sum
of squared differences. Two pictures tie when these sums are equal, as those of equal embeddings always are.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.hardware import default_threads
from samecar.similarity.products import (
    CHUNK_ELEMENTS,
    Distance,
    Matrix,
    Rows,
    check_embeddings,
    check_real_numbers,
    row_chunks,
)
from samecar.similarity.ranges import Tracks, join_ranges, rows_inside
from samecar.similarity.thresholds import FALSE_POSITIVE_RATES, OtherPairs

Relevant = Callable[[int], tuple[Rows, Rows]]
Precision = Literal["float32", "float64"]

FEWEST_ROWS = 256
"""Queries in a chunk, however large the gallery: with fewer, a matrix product loses its speed."""

SAFETY = 6
"""The product's error is taken to be this many times the largest one that is measured on a sample of pairs."""

SAMPLED_QUERIES = 32
"""Queries of each chunk on which the product's error is measured, on four gallery rows each."""

BLOCK_ELEMENTS = 250_000
"""Numbers that are held in float64 at a time."""

SHARED_FROM = 8192
"""Gallery rows from which a chunk's queries are shared out among threads; below, handing over costs more."""

LARGEST, SMALLEST = 1e150, 1e-150
"""Embeddings that are longer have squares that float64 cannot add up; of shorter ones it loses digits."""

SMALL_PROBLEM = 2**20
"""Pairs up to which the distances of all are counted."""


class Matches(NamedTuple):
    """The matches of all queries, one query after the other, nearest first.

    Attributes:
        starts: (queries + 1,) where each query's matches begin and the last one's end.
        rows: (matches,) gallery rows, or tracks.
        ranks: (matches,) from 1, junk taken out; rising within a query.
        distances: (matches,) squared Euclidean distances, exact where another picture is about as near, otherwise up to
            the product's rounding; or those that were given.
        others: the distances of pairs of a query that has a match and a picture that is none; None if not asked for.
    """

    starts: Rows
    rows: Rows
    ranks: Rows
    distances: NDArray[np.float64]
    others: OtherPairs | None = None

    @property
    def counts(self) -> Rows:
        """Matches of each query, (queries,)."""
        return np.diff(self.starts)


class _Found(NamedTuple):
    """One query's matches, nearest first, and what is as near among the others."""

    rows: Rows  # (matches,)
    ahead: Rows  # (matches,) others that come before each
    distances: NDArray[np.float64]  # (matches,)
    others: Matrix  # rising distances of others, as far as pairs are counted, but for those that are
    settled: NDArray[np.float64]  # about as near as a match: rising and exact
    other_count: int  # of all others


_NOTHING = _Found(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, np.float32), np.empty(0), 0)


@dataclass(frozen=True)
class Work:
    """How the counting is done; nothing here changes a result.

    Attributes:
        precision: make the matrix product in float64, whose error has a proven bound; the bound of float32 is measured,
            with a wide margin.
        device: where the product is made: cpu, cuda or cuda:N.
        threads: that count; None takes one for each core, up to eight.
    """

    precision: Precision = "float32"
    device: str = "cpu"
    threads: int | None = None


def count_matches(
    queries: Matrix,
    gallery: Matrix,
    relevant: Relevant,
    *,
    distance: Distance = "euclidean",
    tracks: Rows | None = None,
    pairs: bool = False,
    work: Work | None = None,
) -> Matches:
    """Finds the rank of every match.

    Args:
        queries: (queries, size) of any real type.
        gallery: (gallery, size) of any real type; float32 is not copied.
        relevant: gives a query's matches and its junk, as gallery rows; all others count against it.
        distance: 'euclidean' on the embeddings as they are, 'cosine' on embeddings of length one.
        tracks: (gallery,) which track each picture belongs to, from 0 without gaps. Tracks are then ranked in place of
            pictures, by the distance of their nearest picture, and `relevant` gives tracks.
        pairs: whether the distances of pairs that do not match are counted too.
        work: how to do it.

    Raises:
        SamecarError: the gallery is empty, or the embeddings' widths differ, are no matrices of real numbers, or hold
            values that are no numbers or whose squares are not.
    """
    counter = _Counter(queries, gallery, relevant, distance, tracks, work or Work())
    if not pairs:
        return _gather(counter.found(0), None)
    counted = OtherPairs(counter.foreseen_limit())
    matches = _gather(counter.found(counted.limit), counted)
    if not counted.reaches(max(FALSE_POSITIVE_RATES)):  # what was foreseen from a sample was wrong
        counted = OtherPairs(counter.farthest)
        matches = _gather(counter.found(counted.limit), counted)
    return matches


def count_in_distances(chunks: Iterable[tuple[slice, Matrix]], relevant: Relevant, *, pairs: bool = False) -> Matches:
    """Finds the rank of every match where distances from 0 to 1 are given, such as re-ranked ones; equal ones tie.

    Args:
        chunks: rows of queries, in order, and their distances (rows, gallery), which are overwritten.
        relevant: gives a query's matches and its junk, as gallery rows.
        pairs: whether the distances of pairs that do not match are counted too.
    """
    limit = 1.0 if pairs else 0.0

    def found() -> Iterator[list[_Found]]:
        for rows, distances in chunks:
            queries = range(rows.start, rows.stop)
            yield [_count_given(row, *relevant(query), limit) for query, row in zip(queries, distances, strict=True)]

    return _gather(found(), OtherPairs(limit) if pairs else None)


def _count_given(row: Matrix, matches: Rows, junk: Rows, limit: float) -> _Found:
    if not len(matches):
        return _NOTHING
    near = row[matches]
    order = np.argsort(near, kind="stable")
    matches, near = matches[order], near[order]
    row[matches] = np.nan  # is in no comparison below
    row[junk] = np.nan
    others = np.sort(row[row <= max(float(near[-1]), limit)])
    ahead = np.searchsorted(others, near, side="right")
    kept = others[: np.searchsorted(others, limit, side="right")]
    counted = len(row) - len(matches) - len(junk)
    return _Found(matches, ahead, near.astype(np.float64), kept, np.empty(0), counted)


def _gather(chunks: Iterator[list[_Found]], pairs: OtherPairs | None) -> Matches:
    counts, rows, ranks, distances = [0], [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for found in chunks:
        counts += [len(query.rows) for query in found]
        rows += [query.rows for query in found]
        ranks += [query.ahead + np.arange(1, len(query.rows) + 1) for query in found]
        distances += [query.distances for query in found]
        if pairs is not None:
            pairs.add(np.concatenate([query.others for query in found]), sum(query.other_count for query in found))
            pairs.add(np.concatenate([query.settled for query in found]), 0)
    return Matches(np.cumsum(counts), np.concatenate(rows), np.concatenate(ranks), np.concatenate(distances), pairs)


class _Counter:
    """Both sides, prepared once.

    With c a centre of the gallery, |q − g|² = |q − c|² + 2(q − c)·c + 2r with r = |g − c|²/2 − (q − c)·g, and only r,
    the reduced distance, differs between the gallery rows of one query. Where all embeddings share a large part, q − c
    is small and with it the error of the product; the gallery needs no centred copy.

    Attributes:
        farthest: no squared distance is larger.
    """

    def __init__(
        self,
        queries: Matrix,
        gallery: Matrix,
        relevant: Relevant,
        distance: Distance,
        tracks: Rows | None,
        work: Work,
    ) -> None:
        _check_shapes(queries, gallery)
        self._queries, self._gallery, self.relevant = queries, gallery, relevant
        self._cosine = distance == "cosine"
        self._threads = work.threads or default_threads()
        self._tracks = None if tracks is None else Tracks(tracks)
        some = np.unique(np.linspace(0, len(gallery) - 1, 512).astype(np.int64))
        self.centre: NDArray[np.float64] = self._exactly(gallery[some]).mean(
            axis=0
        )  # any point near the gallery will do
        self._centre_length = float(np.sqrt(np.einsum("i,i", self.centre, self.centre)))
        halves, lengths = self._measure(gallery)
        radii, query_lengths = self._measure(queries)  # halves of squared distances from the centre
        self._radius = float(np.sqrt(2 * halves.max()))  # no gallery row lies farther from the centre
        query_radius = float(np.sqrt(2 * radii.max(initial=0)))
        size = self._centre_length + self._radius + query_radius
        given = np.concatenate([lengths, query_lengths]) if self._cosine else np.array([size])
        _refuse_lengths(given, size, queries, gallery)
        self.farthest = 1.01 * (self._radius + query_radius) ** 2 or 1e-30
        self._in_range = bool(((given == 0) | ((given > 1e-12) & (given < 1e15))).all())  # of float32 with all digits
        self._type = np.dtype(work.precision if self._in_range else "float64")
        self._halves = halves.astype(self._type)
        self._inverse_lengths = np.where(lengths > 0, 1 / np.maximum(lengths, 1e-300), 0).astype(self._type)
        self._multiply = _product_with(gallery, self._type, work.device)

    def _exactly(self, rows: Matrix) -> NDArray[np.float64]:
        """Embeddings in float64, of length one where cosine is asked for; those of zeros stay."""
        exact = rows.astype(np.float64)
        if self._cosine:
            lengths = np.sqrt(np.einsum("ij,ij->i", exact, exact))
            exact /= np.where(lengths == 0, 1, lengths)[:, None]
        return exact

    def _measure(self, matrix: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Halves of squared distances from the centre, and for cosine lengths as they were given; both (pictures,)."""
        halves, lengths = np.empty(len(matrix)), np.empty(len(matrix) if self._cosine else 0)

        def measure(rows: slice) -> None:
            exact = matrix[rows].astype(np.float64)
            if self._cosine:
                lengths[rows] = np.sqrt(np.einsum("ij,ij->i", exact, exact))
                exact /= np.where(lengths[rows] == 0, 1, lengths[rows])[:, None]
            with np.errstate(over="ignore", invalid="ignore"):  # the caller looks for such values
                exact -= self.centre
            halves[rows] = np.einsum("ij,ij->i", exact, exact) / 2

        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(measure, row_chunks(len(matrix), matrix.shape[1], BLOCK_ELEMENTS)))
        return halves, lengths

    def squared_distances(self, query: int, units: Rows) -> NDArray[np.float64]:
        """Sums of squared differences in float64; (units,). This is what decides near ties."""
        rows, starts = (units, None) if self._tracks is None else self._tracks.members(units)
        exact = self._exactly(self._queries[query : query + 1])[0]
        squares = np.empty(len(rows))
        for block in row_chunks(len(rows), self._gallery.shape[1], BLOCK_ELEMENTS):
            differences = self._exactly(self._gallery[rows[block]])
            differences -= exact
            squares[block] = np.einsum("ij,ij->i", differences, differences)
        return squares if starts is None else np.minimum.reduceat(squares, starts)

    def foreseen_limit(self) -> float:
        """A squared distance that more than the largest false positive rate of others are nearer than, by a sample."""
        if len(self._queries) * len(self._gallery) <= SMALL_PROBLEM or not self._in_range:
            return self.farthest
        queries = np.unique(np.linspace(0, len(self._queries) - 1, 128).astype(np.int64))
        columns = np.unique(np.linspace(0, len(self._gallery) - 1, 256).astype(np.int64))
        sampled = (self._exactly(self._gallery[columns]) - self.centre).astype(np.float32)
        asked = (self._exactly(self._queries[queries]) - self.centre).astype(np.float32)
        squares = asked @ sampled.T  # (queries, columns)
        squares *= -2
        squares += np.einsum("ij,ij->i", asked, asked)[:, None]
        squares += np.einsum("ij,ij->i", sampled, sampled)
        aside = np.zeros(len(self._gallery), np.bool_)
        for row, query in enumerate(queries):
            units = np.concatenate(self.relevant(int(query)))
            rows = units if self._tracks is None else self._tracks.members(units)[0]
            aside[rows] = True
            squares[row, aside[columns]] = np.inf
            aside[rows] = False
        spread = np.sort(squares, axis=None)
        enough = int(1.4 * max(FALSE_POSITIVE_RATES) * np.isfinite(spread).sum())
        return min(self.farthest, max(float(spread[enough]), 1e-6 * self.farthest))

    def found(self, limit: float) -> Iterator[list[_Found]]:
        """Counts, a chunk of queries at a time.

        Args:
            limit: squared distances of others are given up to it.
        """
        rows = max(FEWEST_ROWS, CHUNK_ELEMENTS // len(self._gallery))
        products = np.empty((min(rows, len(self._queries)), len(self._gallery)), self._type)
        threads = self._threads if len(self._gallery) >= SHARED_FROM else 1
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(self._queries), rows):
                stop = min(start + rows, len(self._queries))
                part = self.part(slice(start, stop), products[: stop - start], limit)
                shares = np.array_split(np.arange(stop - start), threads)
                yield [query for share in pool.map(part.count, shares) for query in share]

    def part(self, rows: slice, products: Matrix, limit: float) -> "_Part":
        """A chunk of queries with its products, which are written into (rows, gallery)."""
        centred = self._exactly(self._queries[rows]) - self.centre  # (rows, size)
        self._multiply(centred.astype(self._type), products)
        return _Part(self, rows, centred, products, limit)

    def reduced_distances(self, products: Matrix, out: Matrix) -> Matrix:
        """Reduced distances of one query to all gallery rows from its products; both (gallery,)."""
        if self._cosine:
            products = np.multiply(products, self._inverse_lengths, out=out)
        return np.subtract(self._halves, products, out=out)

    def by_unit(self, reduced: Matrix) -> Matrix:
        """Distances of what is ranked, from those of gallery rows, which may be overwritten."""
        return reduced if self._tracks is None else self._tracks.nearest(reduced)

    def measured_error(self, reduced: Matrix, centred: NDArray[np.float64], place: int) -> float:
        """The largest error of a query's reduced distances on some gallery rows, as a share of `error_scale`."""
        last = len(reduced) - 1
        rows = np.array([int(np.argmin(reduced)), last, place * 7919 % (last + 1), place * 104729 % (last + 1)])
        exact = self._exactly(self._gallery[rows])
        lengths = np.sqrt(np.einsum("ij,ij->i", exact, exact))
        products = exact @ centred
        exact -= self.centre
        halves = np.einsum("ij,ij->i", exact, exact) / 2
        scale = np.sqrt(centred @ centred) * lengths + 2 * halves
        errors = np.abs(reduced[rows] - (halves - products)) / np.where(scale > 0, scale, 1)
        return float(errors.max())

    def error_share(self, measured: float) -> float:
        """What no error of a reduced distance exceeds, as a share of `error_scale`.

        With n numbers an embedding and u the unit roundoff, a product's error is at most n·u·|x||y| in whatever order
        it is summed (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), and a few roundings more
        give q − c, the halves and r. That is the bound in float64. In float32 it would make a large part of all pairs
        doubtful, though real errors are smaller by orders of magnitude (Higham and Mary, A New Approach to
        Probabilistic Rounding Error Analysis, 2019); there the measured error counts, with a margin, which also holds
        where a GPU was told to multiply with fewer digits.
        """
        if self._type == np.float64:
            return float((self._gallery.shape[1] + 8) * 2.0**-53)
        return max(SAFETY * measured, 3 * 2.0**-24)

    def error_scale(self, length: float, squared_distance: float) -> float:
        """|q − c||g| + |g − c|² at most, for gallery rows g up to a squared distance from a query of that |q − c|."""
        radius = min(self._radius, 1.05 * (length + math.sqrt(max(squared_distance, 0.0))))
        return length * (self._centre_length + radius) + radius**2


class _Part:
    """A chunk of queries, whose matches it counts."""

    def __init__(
        self, counter: _Counter, rows: slice, centred: NDArray[np.float64], products: Matrix, limit: float
    ) -> None:
        self._counter, self._first, self._products, self._limit = counter, rows.start, products, limit
        self._lengths = np.sqrt(np.einsum("ij,ij->i", centred, centred))  # (rows,)
        self._offsets = self._lengths**2 + 2 * (centred @ counter.centre)  # squared distances are these plus 2r
        buffer = np.empty(products.shape[1], products.dtype)
        measured = [
            counter.measured_error(counter.reduced_distances(products[place], buffer), centred[place], int(place))
            for place in np.unique(np.linspace(0, len(products) - 1, SAMPLED_QUERIES).astype(np.int64))
        ]
        self._error_share = counter.error_share(max(measured))

    def count(self, places: Rows) -> list[_Found]:
        """Counts for some of the chunk's queries."""
        buffer = np.empty(self._products.shape[1], self._products.dtype)
        return [self._count(int(place), buffer) for place in places]

    def _count(self, place: int, buffer: Matrix) -> _Found:
        query = self._first + place
        matches, junk = self._counter.relevant(query)
        if not len(matches):
            return _NOTHING
        reduced = self._counter.by_unit(self._counter.reduced_distances(self._products[place], buffer))
        near = reduced[matches]
        order = near.argsort(kind="stable")
        matches, near = matches[order], near[order]
        reduced[matches] = np.nan  # is in no comparison below
        reduced[junk] = np.nan
        offset, length = float(self._offsets[place]), float(self._lengths[place])
        farthest = float(near[-1])
        window = 2 * self._error_share * self._counter.error_scale(length, 2 * farthest + offset)
        limit = (self._limit - offset) / 2
        others = reduced.compress(reduced <= max(farthest + window, limit))
        others.sort()
        low, high = near - window, near + window
        before = others.searchsorted(low, side="left")
        until = others.searchsorted(high, side="right")
        doubtful = (until > before).nonzero()[0]
        distances = 2 * near.astype(np.float64) + offset
        settled: NDArray[np.float64] = np.empty(0)
        if len(doubtful):
            positions = join_ranges(before[doubtful], until[doubtful])
            candidates = np.concatenate([matches[doubtful], rows_inside(reduced, low[doubtful], high[doubtful])])
            squares = self._counter.squared_distances(query, candidates)
            exact, settled = squares[: len(doubtful)], np.sort(squares[len(doubtful) :])
            sure = before[doubtful] - positions.searchsorted(before[doubtful])
            before[doubtful] = sure + settled.searchsorted(exact, side="right")
            distances[doubtful] = exact
            order = before.argsort(kind="stable")
            matches, distances, before = matches[order], distances[order], before[order]
            others = np.delete(others, positions)
        return _Found(
            matches,
            before,
            distances,
            2 * others[: others.searchsorted(limit, side="right")] + offset,
            settled[settled <= self._limit],
            len(reduced) - len(matches) - len(junk),
        )


def _check_shapes(queries: Matrix, gallery: Matrix) -> None:
    check_real_numbers(queries, gallery)
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        check_embeddings(queries, gallery)
    if not len(gallery):
        raise SamecarError("the gallery is empty; give the embedding of at least one gallery picture")


def _refuse_lengths(lengths: NDArray[np.float64], size: float, queries: Matrix, gallery: Matrix) -> None:
    """Refuses embeddings whose squared distances float64 cannot hold; `size` bounds what is compared."""
    if not (size < LARGEST and lengths.max(initial=0) < LARGEST):
        check_embeddings(queries, gallery)
        raise SamecarError("embeddings hold values whose squares are no numbers; divide them all by a large one")
    if lengths.min(initial=1) >= SMALLEST:
        return
    if any(0 < np.abs(row).max(initial=0) < SMALLEST for matrix in (queries, gallery) for row in matrix):
        raise SamecarError("embeddings hold values whose squares are zero; multiply them all by a large number")


def _product_with(gallery: Matrix, precision: "np.dtype[np.floating]", device: str) -> Callable[[Matrix, Matrix], None]:
    """Gives a function that writes the product of some rows (rows, size) and the gallery into (rows, gallery)."""
    converted = gallery.astype(precision, copy=False)
    if device == "cpu":
        return partial(_multiply, converted)
    import torch

    there = torch.from_numpy(np.ascontiguousarray(converted)).to(device)

    def multiply_there(rows: Matrix, out: Matrix) -> None:
        torch.from_numpy(out).copy_(torch.from_numpy(rows).to(device) @ there.T)

    return multiply_there


def _multiply(gallery: Matrix, rows: Matrix, out: Matrix) -> None:
    np.matmul(rows, gallery.T, out=out)
