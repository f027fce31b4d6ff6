"""What may be done to embeddings or distances before they are ranked; arrays only, no files and no models.

Everything here looks at more of the test set than the one query that is asked, so it is off by default, and a number
obtained with it says so: `PostProcessing.describe` is the line for the protocol card.

k-reciprocal re-ranking is exact and sparse. The (pictures, pictures) matrix of distances is passed once, in tiles, of
which symmetry saves half; all that is kept of it are each row's largest distance and a short list of its smallest.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from samecar.errors import SamecarError
from samecar.ranking import CHUNK_ELEMENTS, Distance, Matrix, check_embeddings, find_distance, unit_length

TILE = 2048
"""Rows and columns of a tile of distances: 16 MB in float32, which stay in the processor's last cache."""

SPARE = 16
"""Neighbours listed beyond those asked for, so that rounding rarely decides what a list must hold."""

UNIT_ROUNDOFF = 2.0**-24
"""The largest relative error of one rounding to float32."""

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class PostProcessing:
    """Something done after embedding, with its parameters, for the protocol card.

    Attributes:
        name: what it is called in the literature.
        transductive: it looks at more of the test set than the one query that is asked.
    """

    name: ClassVar[str]
    transductive: ClassVar[bool]

    def describe(self) -> str:
        """One line for the protocol card."""
        given = ", ".join(f"{field.name} {getattr(self, field.name):g}" for field in fields(self))
        seen = "looks at the whole test set" if self.transductive else "looks at one picture at a time"
        return f"{self.name} ({given}); {seen}" if given else f"{self.name}; {seen}"

    def _require_positive(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise SamecarError(f"{self.name} was given {name} {value!r}; give a whole number from 1")


@dataclass(frozen=True)
class KReciprocal(PostProcessing):
    """Parameters of `k_reciprocal_distances`; the defaults are the paper's.

    Attributes:
        k1: size of the neighbourhood in which reciprocal neighbours are sought.
        k2: size of the neighbourhood over which encodings are averaged, the picture itself included.
        lambda_value: share of the original distance in the final one, from 0 to 1.

    Raises:
        SamecarError: a parameter is out of its range.
    """

    name = "k-reciprocal re-ranking"
    transductive = True

    k1: int = 20
    k2: int = 6
    lambda_value: float = 0.3

    def __post_init__(self) -> None:
        self._require_positive("k1", "k2")
        if not 0 <= self.lambda_value <= 1:
            raise SamecarError(f"{self.name} was given lambda_value {self.lambda_value}; give a number from 0 to 1")

    @property
    def half(self) -> int:
        """Half of k1, halves to the even number."""
        return round(self.k1 / 2)


@dataclass(frozen=True)
class AverageQueryExpansion(PostProcessing):
    """Parameters of `average_query_expansion`.

    Attributes:
        count: gallery pictures that are averaged with a query.

    Raises:
        SamecarError: count is not a whole number from 1.
    """

    name = "average query expansion"
    transductive = True

    count: int = 5

    def __post_init__(self) -> None:
        self._require_positive("count")


@dataclass(frozen=True)
class DatabaseAugmentation(PostProcessing):
    """Parameters of `database_augmentation`.

    Attributes:
        count: other gallery pictures that are averaged with each gallery picture.

    Raises:
        SamecarError: count is not a whole number from 1.
    """

    name = "database-side augmentation"
    transductive = True

    count: int = 5

    def __post_init__(self) -> None:
        self._require_positive("count")


def k_reciprocal_distances(
    queries: Matrix,
    gallery: Matrix,
    *,
    distance: Distance = "euclidean",
    k1: int = KReciprocal.k1,
    k2: int = KReciprocal.k2,
    lambda_value: float = KReciprocal.lambda_value,
) -> Iterator[tuple[slice, Matrix]]:
    """Re-ranks by k-reciprocal encoding (Zhong, Zheng, Cao, Li, CVPR 2017, arXiv 1701.08398).

    Transductive: each distance depends on all queries and all of the gallery.

    All pictures, queries followed by gallery, are ranked against each other, by the squared Euclidean distance d.

    * N(p, k) is p itself and its k nearest other pictures; among equal distances the lower row is nearer. Where there
      are fewer than k others, it is all of them.
    * R(p, k) are those q of N(p, k) for which p is in N(q, k). Equation 3 of the paper.
    * R*(p) is R(p, k1) and every R(q, k1/2) of a q in R(p, k1) of which more than two thirds are in R(p, k1); k1/2 is
      rounded, halves to the even number. Equation 5, with the 'more than' of the authors' published code, where the
      paper has 'at least'.
    * p's encoding is exp(−d(p, q) / max d(p, ·)) for each q in R*(p) and zero for others, scaled to sum one. Equation
      7; the scaling of distance and encoding is that of the authors' code.
    * Encodings are then averaged over p itself and its k2 − 1 nearest. Equation 11.
    * The Jaccard distance of a query and a gallery picture is one minus the sum over the encodings' elementwise
      minimum, divided by that over their maximum. Equation 10.
    * The final distance is (1 − lambda_value) times the Jaccard distance plus lambda_value times d(p, ·) / max d(p, ·)
      of the query. Equation 12. Where all pictures are alike, the latter is zero.

    Who is whose neighbour is decided as in float64, whatever the rounding of the float32 matrix product: its error is
    bounded, and distances that lie closer together than that are computed anew.

    Args:
        queries: (queries, size) of any real type; left as they are. Without queries nothing is yielded.
        gallery: (gallery, size) of any real type; left as they are.
        distance: see `ranking.distance_chunks`; 'cosine' scales each embedding to length one and goes on as above.
        k1: see `KReciprocal`.
        k2: see `KReciprocal`.
        lambda_value: see `KReciprocal`.

    Returns:
        What `ranking.distance_chunks` yields: a chunk's rows, and their final distances (rows, gallery), from 0 to 1.
        The work before the first chunk is done when it is asked for.

    Raises:
        SamecarError: the gallery is empty, a parameter is out of its range, or the embeddings' widths differ, are no
            matrices of real numbers, or hold NaN or infinite values.
    """
    settings = KReciprocal(k1, k2, lambda_value)
    pool = _Pool(_prepare(queries, gallery, distance))
    return _k_reciprocal_chunks(pool, len(queries), settings)


def average_query_expansion(
    queries: Matrix,
    gallery: Matrix,
    count: int = AverageQueryExpansion.count,
    *,
    distance: Distance = "euclidean",
) -> Matrix:
    """Replaces each query by the mean of itself and its nearest gallery pictures.

    Average query expansion of Chum, Philbin, Sivic, Isard, Zisserman, 'Total recall', ICCV 2007, without its spatial
    verification. Transductive: a query is moved by the gallery that it is asked of.

    Args:
        queries: (queries, size); left as they are.
        gallery: (gallery, size); left as they are.
        count: how many gallery pictures; all of them, if the gallery is smaller. Among equal distances the lower row
            comes first.
        distance: decides who is near; 'cosine' first scales each embedding to length one, and the means, too.

    Returns:
        (queries, size) new queries, in float32, or float64 where the embeddings are wider than float32.

    Raises:
        SamecarError: as `k_reciprocal_distances`.
    """
    settings = AverageQueryExpansion(count)
    queries, gallery = _prepare(queries, gallery, distance)
    found = min(settings.count, len(gallery))
    everyone = np.arange(len(queries))
    neighbours, _ = _nearest_to(_Pool((queries, gallery)), everyone, slice(len(queries), None), found)
    return _means(queries, gallery, neighbours - len(queries), distance)


def database_augmentation(
    gallery: Matrix, count: int = DatabaseAugmentation.count, *, distance: Distance = "euclidean"
) -> Matrix:
    """Replaces each gallery picture by the mean of itself and its nearest others.

    Database-side augmentation of Turcot and Lowe, 'Better matching with fewer features', ICCV workshops 2009, with
    neighbours in place of verified matches. Transductive: a picture is moved by the rest of the gallery.

    Args:
        gallery: (gallery, size); left as they are.
        count: how many others; all of them, if the gallery is smaller. Among equal distances the lower row comes
            first.
        distance: as in `average_query_expansion`.

    Returns:
        (gallery, size) the new gallery, of the type that `average_query_expansion` has.

    Raises:
        SamecarError: as `k_reciprocal_distances`.
    """
    settings = DatabaseAugmentation(count)
    nobody = np.empty((0, gallery.shape[1] if gallery.ndim == 2 else 0), np.float32)
    _, gallery = _prepare(nobody, gallery, distance)
    found = min(settings.count, len(gallery) - 1)
    if found == 0:
        return gallery.copy()
    neighbours, _ = _neighbours(_Pool((gallery,)), found, [found])
    return _means(gallery, gallery, neighbours, distance)


def _prepare(queries: Matrix, gallery: Matrix, distance: Distance) -> tuple[Matrix, Matrix]:
    """Checks embeddings and gives them in float32 or, where that would round them, in float64."""
    for name, matrix in (("query", queries), ("gallery", gallery)):
        if matrix.dtype.kind not in "fiu":
            raise SamecarError(f"{name} embeddings are of type {matrix.dtype}; give real numbers, float32 at best")
    check_embeddings(queries, gallery)
    if len(gallery) == 0:
        raise SamecarError("the gallery has no embedding; embed at least one gallery picture")
    precision = np.result_type(queries, gallery, np.float32)
    queries, gallery = queries.astype(precision, copy=False), gallery.astype(precision, copy=False)
    if find_distance(distance) == "cosine":
        return unit_length(queries), unit_length(gallery)
    return queries, gallery


def _means(pictures: Matrix, others: Matrix, neighbours: NDArray[np.int64], distance: Distance) -> Matrix:
    """The mean of each picture and its neighbours (pictures, count) among the others; (pictures, size)."""
    means = np.empty_like(pictures)
    for rows in _chunks(len(pictures), others.shape[1] * neighbours.shape[1]):
        means[rows] = (pictures[rows] + others[neighbours[rows]].sum(axis=1)) / (neighbours.shape[1] + 1)
    return unit_length(means) if distance == "cosine" else means


def _chunks(rows: int, width: int) -> Iterator[slice]:
    """Slices of rows that hold about `CHUNK_ELEMENTS` numbers when each row has `width`."""
    step = max(1, CHUNK_ELEMENTS // max(1, width))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


class _Pool:
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
        for rows in _chunks(len(self), size):
            chunk = self.centred[rows].astype(np.float64)
            self.halves[rows] = np.einsum("ij,ij->i", chunk, chunk) / 2

    def __len__(self) -> int:
        return self._start + len(self._matrices[-1])

    def _parts(self) -> Iterator[tuple[int, Matrix]]:
        """Some rows at a time, each with the place of its first."""
        start = 0
        for matrix in self._matrices:
            for rows in _chunks(len(matrix), matrix.shape[1]):
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
        for chunk in _chunks(len(rows), self.centred.shape[1]):
            np.einsum("ij,ij->i", self.centred[rows[chunk]], self.centred[columns[chunk]], out=products[chunk])
        products -= self.halves[rows]
        products -= self.halves[columns]
        return np.maximum(-products, 0)

    def exactly_between(self, pairs: Pairs) -> NDArray[np.float64]:
        """Distances of single pairs from the embeddings as they were given, in float64; (pairs,)."""
        rows, columns = pairs
        distances = np.empty(len(rows))
        for chunk in _chunks(len(rows), 4 * self.centred.shape[1]):
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


def _shortlist(pool: _Pool, count: int) -> tuple[NDArray[np.int64], Matrix, Matrix]:
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


def _neighbours(pool: _Pool, count: int, cuts: Iterable[int]) -> tuple[NDArray[np.int64], tuple[Matrix, Matrix]]:
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
    columns[anew], exact[anew] = _nearest_to(pool, anew, slice(0, None), count)
    return columns, (exact.astype(np.float32), farthest)


def _nearest_to(
    pool: _Pool, rows: NDArray[np.int64], columns: slice, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Finds the count nearest of some columns to each of some rows, as in float64; a row is no neighbour of itself.

    Returns:
        Rows of the pool, (rows, count), lower ones first among equal distances; their distances, (rows, count).
    """
    neighbours = np.empty((len(rows), count), np.int64)
    distances = np.empty((len(rows), count))
    for chunk in _chunks(len(rows), len(pool)):
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


def _k_reciprocal_chunks(pool: _Pool, queries: int, settings: KReciprocal) -> Iterator[tuple[slice, Matrix]]:
    if queries == 0:
        return
    others = len(pool) - 1
    count = min(max(settings.k1, settings.k2 - 1), others)
    cuts = sorted({settings.k1, settings.half, settings.k2 - 1})
    neighbours, (distances, farthest) = _neighbours(pool, count, cuts)
    lists = np.column_stack([np.arange(len(pool)), neighbours])  # (pictures, 1 + count), each led by itself
    own = np.column_stack([np.zeros(len(pool), np.float32), distances])
    scale = np.where(farthest > 0, farthest, 1)  # (pictures,)
    expanded = _expanded_neighbours(lists[:, : settings.k1 + 1], lists[:, : settings.half + 1])
    encodings = _encode(pool, expanded, lists, own, scale)
    averaged = _pattern(lists[:, : settings.k2]) @ encodings
    averaged.data /= min(settings.k2, len(pool))
    similar = _Overlaps(averaged[queries:])
    for chunk in _chunks(queries, len(pool) - queries):
        final = pool.tile(-pool.centred[chunk], pool.halves[chunk], slice(queries, None))  # (rows, gallery)
        np.maximum(final, 0, out=final)
        final *= (settings.lambda_value / scale[chunk])[:, None]
        for place, row in enumerate(range(chunk.start, chunk.stop)):
            final[place] += (1 - settings.lambda_value) * similar.jaccard_distances(averaged, row)
        yield chunk, final


def _pattern(columns: NDArray[np.int64]) -> sparse.csr_array:
    """A sparse matrix (pictures, pictures) with a one at each of the columns (pictures, count) of a row."""
    pictures, count = columns.shape
    starts = np.arange(pictures + 1) * count
    return sparse.csr_array((np.ones(columns.size, np.float32), columns.ravel(), starts), shape=(pictures, pictures))


def _expanded_neighbours(full: NDArray[np.int64], half: NDArray[np.int64]) -> sparse.csr_array:
    """R* of each picture, from N of k1 and of k1/2; a sparse matrix (pictures, pictures) with something at members."""
    reciprocal, core = _pattern(full), _pattern(half)
    reciprocal, core = reciprocal.multiply(reciprocal.T).tocsr(), core.multiply(core.T).tocsr()
    sizes = np.diff(core.indptr)  # (pictures,)
    parts = []
    for rows in _chunks(len(full), full.shape[1] * half.shape[1]):
        own = reciprocal[rows]
        agreeing = (own @ core).multiply(own).tocsr()  # how much of R(q, k1/2) is in R(p, k1), for q in R(p, k1)
        agreeing.data = (3 * agreeing.data > 2 * sizes[agreeing.indices]).astype(np.float32)
        agreeing.eliminate_zeros()
        parts.append(own + agreeing @ core)
    return sparse.vstack(parts, format="csr")


def _encode(
    pool: _Pool, expanded: sparse.csr_array, lists: NDArray[np.int64], distances: Matrix, scale: Matrix
) -> sparse.csr_array:
    """Encodes each picture by its expanded neighbours.

    Args:
        pool: the pictures.
        expanded: R* of each picture, (pictures, pictures).
        lists: neighbours whose distances are known, (pictures, count).
        distances: these, (pictures, count).
        scale: the largest distance of each picture, (pictures,).

    Returns:
        (pictures, pictures) of float32, each row of which sums to one.
    """
    pictures = len(pool)
    rows, columns = np.repeat(np.arange(pictures), np.diff(expanded.indptr)), expanded.indices.astype(np.int64)
    known = (np.arange(pictures)[:, None] * pictures + lists).ravel()
    order = np.argsort(known)
    sought = rows * pictures + columns
    places = order[np.minimum(np.searchsorted(known, sought, sorter=order), len(order) - 1)]
    weights = distances.ravel()[places]
    missing = np.flatnonzero(known[places] != sought)
    weights[missing] = pool.between((rows[missing], columns[missing]))
    weights = np.exp(-weights / scale[rows])
    weights /= np.bincount(rows, weights, minlength=pictures)[rows]
    return sparse.csr_array((weights.astype(np.float32), expanded.indices, expanded.indptr), shape=expanded.shape)


class _Overlaps:
    """An inverted index: for each picture those of the gallery whose encodings hold it."""

    def __init__(self, encodings: sparse.csr_array) -> None:
        inverted = encodings.T.tocsr()  # (pictures, gallery)
        self._gallery = inverted.shape[1]
        self._starts, self._rows, self._weights = inverted.indptr, inverted.indices, inverted.data

    def jaccard_distances(self, encodings: sparse.csr_array, row: int) -> NDArray[np.float64]:
        """Jaccard distances of one encoding to all of the gallery; (gallery,)."""
        own = slice(encodings.indptr[row], encodings.indptr[row + 1])
        members = encodings.indices[own]
        starts = self._starts[members]
        lengths = self._starts[members + 1] - starts
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1]) + np.repeat(starts - ends + lengths, lengths)
        shared = np.minimum(np.repeat(encodings.data[own], lengths), self._weights[places])
        minimum = np.bincount(self._rows[places], shared, minlength=self._gallery)  # of sums, each of which is one
        return 1 - minimum / (2 - minimum)
