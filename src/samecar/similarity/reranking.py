"""k-reciprocal re-ranking: distances that also ask who is whose neighbour; arrays only, no files and no models.

It looks at the whole test set, so it is off by default, and a number obtained with it says so. It is exact and sparse:
the (pictures, pictures) matrix of distances is passed once, in tiles, of which symmetry saves half; all that is kept of
it are each row's largest distance and a short list of its smallest.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from samecar.errors import SamecarError
from samecar.similarity.expansion import PostProcessing, prepare_embeddings
from samecar.similarity.neighbours import Pool, find_neighbours
from samecar.similarity.products import Distance, Matrix, row_chunks


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
    averaged = _pattern(lists[:, : settings.k2]) @ encodings
    averaged.data /= min(settings.k2, len(pool))
    similar = _Overlaps(averaged[queries:])
    for chunk in row_chunks(queries, len(pool) - queries):
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
    for rows in row_chunks(len(full), full.shape[1] * half.shape[1]):
        own = reciprocal[rows]
        agreeing = (own @ core).multiply(own).tocsr()  # how much of R(q, k1/2) is in R(p, k1), for q in R(p, k1)
        agreeing.data = (3 * agreeing.data > 2 * sizes[agreeing.indices]).astype(np.float32)
        agreeing.eliminate_zeros()
        parts.append(own + agreeing @ core)
    return sparse.vstack(parts, format="csr")


def _encode(
    pool: Pool, expanded: sparse.csr_array, lists: NDArray[np.int64], distances: Matrix, scale: Matrix
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
