"""Who is whose nearest neighbour, decided as in float64 from products in float32 whose error is bounded."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from samecar.similarity.products import Matrix, row_chunks

TILE = 2048
"""Rows and columns of a tile of distances: 16 MB in float32, which stay in the processor's last cache."""

SPARE = 16
"""Neighbours listed beyond those asked for, so that rounding rarely decides what a list must hold."""

UNIT_ROUNDOFF = 2.0**-24
"""The largest relative error of one rounding to float32."""

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


class Pool:
    """Rows of one or two matrices as one, for products in float32 whose error is bounded.

    All distances here are halves of squared distances, in units of `scale`⁻². The rows are centred, as that leaves
    distances as they are and makes the products small: a row's largest distance to others is then at least half its
    squared length, so that the error of each distance is small against it.

    Attributes:
        centred: (pictures, size), scaled to be at most two, less their mean; rounded once.
        halves: (pictures,) halves of their squared lengths.
    """

    def __init__(self, matrices: tuple[Matrix, ...]) -> None:
        self._matrices = matrices
        self._start = 0 if len(matrices) == 1 else len(matrices[0])  # of the last matrix
        size = matrices[0].shape[1]
        largest = max(float(np.abs(part).max(initial=0)) for _, part in self._parts())
        highest = np.finfo(matrices[0].dtype).maxexp - 2
        self._scale = 2.0 ** min(-int(np.frexp(largest)[1]), highest)  # a power of two: scaling rounds nothing
        first = matrices[-1][0] * self._scale
        total = np.zeros(size)
        for _, part in self._parts():
            total += (part * self._scale - first).sum(axis=0, dtype=np.float64)
        centre = (first + total / len(self)).astype(first.dtype)  # the first row itself, where all rows are alike
        self.centred = np.empty((len(self), size), np.float32)
        for start, part in self._parts():
            self.centred[start : start + len(part)] = part * self._scale - centre
        self.halves = np.empty(len(self), np.float32)
        for rows in row_chunks(len(self), size):
            chunk = self.centred[rows].astype(np.float64)
            self.halves[rows] = np.einsum("ij,ij->i", chunk, chunk) / 2

    def __len__(self) -> int:
        return self._start + len(self._matrices[-1])

    def _parts(self) -> Iterator[tuple[int, Matrix]]:
        """Some rows at a time, each with the place of its first."""
        start = 0
        for matrix in self._matrices:
            for rows in row_chunks(len(matrix), matrix.shape[1]):
                yield start + rows.start, matrix[rows]
            start += len(matrix)

    def tile(self, rows: Matrix, row_halves: Matrix, columns: slice) -> Matrix:
        """Distances (rows, columns) of centred rows, given with a minus sign, to some of the pool."""
        distances = rows @ self.centred[columns].T
        distances += self.halves[columns]
        distances += row_halves[:, None]
        return distances

    def between(self, pairs: Pairs) -> Matrix:
        """Distances of single pairs, in float32 as those of `tile`; (pairs,)."""
        rows, columns = pairs
        products = np.empty(len(rows), np.float32)
        for chunk in row_chunks(len(rows), self.centred.shape[1]):
            np.einsum("ij,ij->i", self.centred[rows[chunk]], self.centred[columns[chunk]], out=products[chunk])
        products -= self.halves[rows]
        products -= self.halves[columns]
        return np.maximum(-products, 0)

    def exactly_between(self, pairs: Pairs) -> NDArray[np.float64]:
        """Distances of single pairs from the embeddings as they were given, in float64; (pairs,)."""
        rows, columns = pairs
        distances = np.empty(len(rows))
        for chunk in row_chunks(len(rows), 4 * self.centred.shape[1]):
            differences = (self._take(rows[chunk]) - self._take(columns[chunk])) * self._scale
            distances[chunk] = np.einsum("ij,ij->i", differences, differences) / 2
        return distances

    def _take(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        taken = np.empty((len(indices), self.centred.shape[1]))
        in_last = indices >= self._start
        taken[in_last] = self._matrices[-1][indices[in_last] - self._start]
        taken[~in_last] = self._matrices[0][indices[~in_last]]
        return taken

    def error(self, rows: NDArray[np.int64] | slice, distances: Matrix) -> Matrix:
        """Bounds the error of distances of rows in a `tile`; both (rows,).

        With u the unit roundoff, the product of rows x and y over n numbers errs by at most n·u·‖x‖‖y‖ in whatever
        order it is summed (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1); the rounding of
        centred rows, of their squares and of the two sums is less than 4·u·(‖x‖ + ‖y‖)². As ‖y‖ ≤ ‖x‖ + √(2·distance),
        (‖x‖ + ‖y‖)² ≤ 8‖x‖² + 4·distance, which also holds for all larger distances in place of this one.
        """
        size = self.centred.shape[1]
        return (size / 4 + 4) * UNIT_ROUNDOFF * (16 * self.halves[rows] + 4 * np.maximum(distances, 0))  # type: ignore[no-any-return]


class _Shortlists:
    """For each picture the nearest others among those that were offered so far.

    Attributes:
        limits: (pictures,) no picture above is among the nearest of this one.
    """

    def __init__(self, pictures: int, count: int) -> None:
        self._count = count
        self._pending = 0
        self._keys: list[NDArray[np.uint64]] = []  # row above the bits of the distance: to sort by both at once
        self._columns: list[NDArray[np.int32]] = []
        self.limits = np.full(pictures, np.inf, np.float32)

    def offer(self, tile: Matrix, rows: slice, columns: slice, *, transposed: bool = False) -> None:
        """Takes what it needs from distances (rows, columns), or of columns to rows when transposed; no NaN."""
        seekers = columns if transposed else rows
        if np.isinf(self.limits[seekers]).all():
            sample = np.ascontiguousarray(tile[: TILE // 4].T) if transposed else tile[:, : TILE // 4]
            if sample.shape[1] > self._count:
                self.limits[seekers] = np.partition(sample, self._count - 1, axis=1)[:, self._count - 1]
        limits = self.limits[seekers]
        flat = np.flatnonzero(tile <= (limits if transposed else limits[:, None]))
        found_rows, found_columns = np.divmod(flat, tile.shape[1])
        distances = np.maximum(tile.ravel()[flat], 0)
        found_rows += rows.start
        found_columns += columns.start
        if transposed:
            found_rows, found_columns = found_columns, found_rows
        self._keys.append(found_rows.astype(np.uint64) << np.uint64(32) | distances.view(np.uint32))
        self._columns.append(found_columns.astype(np.int32))
        self._pending += len(flat)
        if self._pending > len(self.limits) * self._count:
            self._merge()

    def _merge(self) -> None:
        keys, columns = np.concatenate(self._keys), np.concatenate(self._columns)
        order = np.argsort(keys)
        rows = (keys[order] >> np.uint64(32)).astype(np.int64)
        counts = np.bincount(rows, minlength=len(self.limits))
        places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = order[places < self._count]
        self._keys, self._columns, self._pending = [keys[kept]], [columns[kept]], 0
        last = order[places == self._count - 1]
        self.limits[(keys[last] >> np.uint64(32)).astype(np.int64)] = keys[last].astype(np.uint32).view(np.float32)

    def finish(self) -> tuple[NDArray[np.int64], Matrix]:
        """Gives neighbours and distances, both (pictures, count), rising."""
        self._merge()
        shape = (len(self.limits), self._count)
        distances = self._keys[0].astype(np.uint32).view(np.float32)
        return self._columns[0].astype(np.int64).reshape(shape), distances.reshape(shape)


def _shortlist(pool: Pool, count: int) -> tuple[NDArray[np.int64], Matrix, Matrix]:
    """Passes over all distances once.

    Returns:
        The count nearest others of each picture, up to rounding, and their distances, (pictures, count); and the
        largest distance of each, (pictures,).
    """
    shortlists = _Shortlists(len(pool), count)
    farthest = np.zeros(len(pool), np.float32)
    strips = [slice(start, min(start + TILE, len(pool))) for start in range(0, len(pool), TILE)]
    for place, rows in enumerate(strips):
        strip, halves = -pool.centred[rows], pool.halves[rows]
        for columns in strips[place:]:
            tile = pool.tile(strip, halves, columns)
            np.maximum(farthest[rows], tile.max(axis=1), out=farthest[rows])
            if columns is rows:
                np.fill_diagonal(tile, np.nan)
            else:
                np.maximum(farthest[columns], tile.max(axis=0), out=farthest[columns])
                shortlists.offer(tile, rows, columns, transposed=True)
            shortlists.offer(tile, rows, columns)
    return *shortlists.finish(), farthest


def find_neighbours(pool: Pool, count: int, cuts: Iterable[int]) -> tuple[NDArray[np.int64], tuple[Matrix, Matrix]]:
    """Finds the nearest others of each picture; for each cut k the first k are the same set as in float64.

    Rounding matters only where the k-th and the next distance are closer than twice their error. There, all distances
    that close to the k-th are computed anew, and where the short list may lack one of them, the row is.

    Args:
        pool: the pictures.
        count: how many others, fewer than there are pictures.
        cuts: at most count.

    Returns:
        Rows, (pictures, count), lower ones first among equal distances; their distances, (pictures, count), and the
        largest of each picture, (pictures,).
    """
    listed = min(count + SPARE, len(pool) - 1)
    columns, distances, farthest = _shortlist(pool, listed)
    doubtful = np.zeros(distances.shape, np.bool_)
    lacking = np.zeros(len(pool), np.bool_)
    for cut in cuts:
        if not 0 < cut < len(pool) - 1:
            continue
        edge = distances[:, cut - 1]
        window = 2 * pool.error(slice(None), edge)
        unclear = distances[:, min(cut, listed - 1)] <= edge + window
        doubtful |= (np.abs(distances - edge[:, None]) <= window[:, None]) & unclear[:, None]
        if listed < len(pool) - 1:
            lacking |= distances[:, -1] <= edge + window
    doubtful &= ~lacking[:, None]
    places = np.nonzero(doubtful)
    exact = distances.astype(np.float64)
    exact[places] = pool.exactly_between((places[0], columns[places]))
    order = np.lexsort((columns, exact), axis=1)[:, :count]
    columns, exact = np.take_along_axis(columns, order, axis=1), np.take_along_axis(exact, order, axis=1)
    anew = np.flatnonzero(lacking)
    columns[anew], exact[anew] = nearest_in_pool(pool, anew, slice(0, None), count)
    return columns, (exact.astype(np.float32), farthest)


def nearest_in_pool(
    pool: Pool, rows: NDArray[np.int64], columns: slice, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Finds the count nearest of some columns to each of some rows, as in float64; a row is no neighbour of itself.

    Returns:
        Rows of the pool, (rows, count), lower ones first among equal distances; their distances, (rows, count).
    """
    neighbours = np.empty((len(rows), count), np.int64)
    distances = np.empty((len(rows), count))
    for chunk in row_chunks(len(rows), len(pool)):
        tile = pool.tile(-pool.centred[rows[chunk]], pool.halves[rows[chunk]], columns)
        own = rows[chunk] - columns.start
        seen = np.flatnonzero(own >= 0)
        tile[seen, own[seen]] = np.inf
        edge = np.partition(tile, count - 1, axis=1)[:, count - 1]
        limit = edge + 2 * pool.error(rows[chunk], edge)
        for place, near in enumerate(tile <= limit[:, None], start=chunk.start):
            candidates = np.flatnonzero(near) + columns.start
            exact = pool.exactly_between((np.full(len(candidates), rows[place]), candidates))
            order = np.argsort(exact, kind="stable")[:count]
            neighbours[place], distances[place] = candidates[order], exact[order]
    return neighbours, distances
