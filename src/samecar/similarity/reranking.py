"""k-reciprocal re-ranking: distances that also ask who is whose neighbour; arrays only, no files and no models.

It looks at the whole test set, so it is off by default, and a number obtained with it says so. It is exact and sparse:
the (pictures, pictures) matrix of distances is passed once, in tiles, of which symmetry saves half; all that is kept of
it are each row's largest distance and a short list of its smallest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.similarity.expansion import PostProcessing, prepare_embeddings
from samecar.similarity.neighbours import Pool, find_neighbours
from samecar.similarity.products import Distance, Matrix, Rows, row_chunks


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
    pool = Pool(prepare_embeddings(queries, gallery, distance))
    return _k_reciprocal_chunks(pool, len(queries), settings)


def _k_reciprocal_chunks(pool: Pool, queries: int, settings: KReciprocal) -> Iterator[tuple[slice, Matrix]]:
    if queries == 0:
        return
    others = len(pool) - 1
    count = min(max(settings.k1, settings.k2 - 1), others)
    cuts = sorted({settings.k1, settings.half, settings.k2 - 1})
    neighbours, (distances, farthest) = find_neighbours(pool, count, cuts)
    lists = np.column_stack([np.arange(len(pool)), neighbours])  # (pictures, 1 + count), each led by itself
    own = np.column_stack([np.zeros(len(pool), np.float32), distances])
    scale = np.where(farthest > 0, farthest, 1)  # (pictures,)
    expanded = _expanded_neighbours(lists[:, : settings.k1 + 1], lists[:, : settings.half + 1])
    encodings = _encode(pool, expanded, lists, own, scale)
    averaged = _average(encodings, lists[:, : settings.k2])
    similar = _Overlaps(averaged, queries)
    for chunk in row_chunks(queries, len(pool) - queries):
        final = pool.tile(-pool.centred[chunk], pool.halves[chunk], slice(queries, None))  # (rows, gallery)
        np.maximum(final, 0, out=final)
        final *= (settings.lambda_value / scale[chunk])[:, None]
        for place, row in enumerate(range(chunk.start, chunk.stop)):
            final[place] += (1 - settings.lambda_value) * similar.jaccard_distances(averaged, row)
        yield chunk, final


class _SparseRows(NamedTuple):
    """A matrix (pictures, pictures) of which only some entries are kept, row by row, columns rising."""

    starts: Rows  # (pictures + 1,) where the entries of each row begin, and the last one's end
    columns: Rows  # (entries,)
    weights: NDArray[np.float32]  # (entries,)

    @property
    def rows(self) -> Rows:
        """The row of each entry, (entries,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def entries_of(self, rows: Rows) -> tuple[Rows, Rows]:
        """Places of the entries of some rows, one row after the other, and for each which of `rows` it is of."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        ends = np.cumsum(lengths)
        places = np.arange(lengths.sum()) + np.repeat(self.starts[rows] - ends + lengths, lengths)
        return np.repeat(np.arange(len(rows)), lengths), places


def _gather(parts: list[tuple[Rows, Rows, NDArray[np.float32]]]) -> _SparseRows:
    """Chunks of rows as one: how many entries each row has, their columns and weights."""
    counts, columns, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _SparseRows(np.concatenate([[0], np.cumsum(counts)]), columns, weights)


def _mutual(neighbours: Rows) -> _SparseRows:
    """Who is among the neighbours (pictures, count) of whom in both directions, with weights of one."""
    pictures, count = neighbours.shape
    rows = np.repeat(np.arange(pictures), count)
    pairs = np.sort(rows * pictures + neighbours.ravel())
    turned = neighbours.ravel() * pictures + rows
    found = np.sort(turned[pairs[np.minimum(np.searchsorted(pairs, turned), len(pairs) - 1)] == turned])
    rows, columns = np.divmod(found, pictures)
    starts = np.searchsorted(rows, np.arange(pictures + 1))
    return _SparseRows(starts, columns, np.ones(len(columns), np.float32))


def _expanded_neighbours(full: Rows, half: Rows) -> _SparseRows:
    """R* of each picture, from N of k1 and of k1/2, with weights of one."""
    reciprocal, core = _mutual(full), _mutual(half)
    sizes = np.diff(core.starts)  # (pictures,)
    pictures = len(full)
    parts = []
    for chunk in row_chunks(pictures, pictures):
        rows = np.arange(chunk.start, chunk.stop)
        member = np.zeros((len(rows), pictures), np.bool_)
        row, place = reciprocal.entries_of(rows)
        near = reciprocal.columns[place]  # q of R(p, k1)
        member[row, near] = True
        pair, place = core.entries_of(near)
        behind = core.columns[place]  # members of R(q, k1/2), q itself among them
        shared = np.bincount(pair[member[row[pair], behind]], minlength=len(near))  # with R(p, k1)
        agreeing = (3 * shared > 2 * sizes[near])[pair]
        member[row[pair[agreeing]], behind[agreeing]] = True
        rows, columns = np.divmod(np.flatnonzero(member), pictures)
        parts.append((np.bincount(rows, minlength=len(member)), columns, np.ones(len(columns), np.float32)))
    return _gather(parts)


def _average(encodings: _SparseRows, neighbours: Rows) -> _SparseRows:
    """The mean of the encodings of each picture's neighbours (pictures, count)."""
    pictures, count = neighbours.shape
    parts = []
    for chunk in row_chunks(pictures, pictures):
        total = np.zeros((chunk.stop - chunk.start, pictures), np.float32)
        for nearest in neighbours[chunk].T:
            row, place = encodings.entries_of(nearest)
            total[row, encodings.columns[place]] += encodings.weights[place]  # each entry once
        held = np.flatnonzero(total != 0)
        rows, columns = np.divmod(held, pictures)
        weights = total.ravel()[held]
        weights /= count
        parts.append((np.bincount(rows, minlength=len(total)), columns, weights))
    return _gather(parts)


def _encode(pool: Pool, expanded: _SparseRows, lists: Rows, distances: Matrix, scale: Matrix) -> _SparseRows:
    """Encodes each picture by its expanded neighbours.

    Args:
        pool: the pictures.
        expanded: R* of each picture.
        lists: neighbours whose distances are known, (pictures, count).
        distances: these, (pictures, count).
        scale: the largest distance of each picture, (pictures,).

    Returns:
        The same entries, each row of which sums to one.
    """
    pictures = len(pool)
    rows, columns = expanded.rows, expanded.columns
    known = (np.arange(pictures)[:, None] * pictures + lists).ravel()
    order = np.argsort(known)
    sought = rows * pictures + columns
    places = order[np.minimum(np.searchsorted(known, sought, sorter=order), len(order) - 1)]
    weights = distances.ravel()[places]
    missing = np.flatnonzero(known[places] != sought)
    weights[missing] = pool.between((rows[missing], columns[missing]))
    weights = np.exp(-weights / scale[rows])
    weights /= np.bincount(rows, weights, minlength=pictures)[rows]
    return expanded._replace(weights=weights.astype(np.float32))


class _Overlaps:
    """An inverted index: for each picture those of the gallery whose encodings hold it.

    Args:
        encodings: of queries, then of the gallery.
        queries: how many these are.
    """

    def __init__(self, encodings: _SparseRows, queries: int) -> None:
        pictures = len(encodings.starts) - 1
        gallery = slice(encodings.starts[queries], None)
        columns = encodings.columns[gallery]
        order = np.argsort(columns, kind="stable")
        self._starts = np.searchsorted(columns[order], np.arange(pictures + 1))
        self._rows = encodings.rows[gallery][order] - queries
        self._weights = encodings.weights[gallery][order]
        self._gallery = pictures - queries

    def jaccard_distances(self, encodings: _SparseRows, row: int) -> NDArray[np.float64]:
        """Jaccard distances of one encoding to all of the gallery; (gallery,)."""
        own = slice(encodings.starts[row], encodings.starts[row + 1])
        members = encodings.columns[own]
        starts = self._starts[members]
        lengths = self._starts[members + 1] - starts
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1]) + np.repeat(starts - ends + lengths, lengths)
        shared = np.minimum(np.repeat(encodings.weights[own], lengths), self._weights[places])
        minimum = np.bincount(self._rows[places], shared, minlength=self._gallery)  # of sums, each of which is one
        return np.asarray(1 - minimum / (2 - minimum), np.float64)
