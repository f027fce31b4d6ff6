"""A quick first look at all embeddings, at one bit for each number, that knows how far it can be off.

Embeddings are rotated at random, and each block of their numbers is replaced by the nearest of 16 points, which are
fitted to a normal distribution instead of to the embeddings: rotated, all of them look like one. An estimate of an
inner product with a query is then its share along the embedding, which is known, and an error of known size, whatever
the embeddings are. Only rows that are near enough by their estimates are multiplied as they are stored.

Sources: the law of the error under a random rotation is that of RaBitQ (Gao and Long, SIGMOD 2024), with points for
blocks instead of signs; FAISS looks the blocks' products up with shuffles (André et al., "Quicker ADC", 2019).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from samecar.retrieval.folder.library import faiss_module
from samecar.similarity.exact import Nearest, most_similar
from samecar.similarity.products import Integers, Singles, best_pairs, pair_products

POINTS = 16
"""By which a block is replaced: 4 bits name one."""

SHORTEST_BLOCK = 4
"""Numbers in a block: one bit for each."""

MOST_BLOCKS = 256
"""FAISS adds the products of blocks, a byte each, in 16 bits."""

DRAWN = 16_384
"""Blocks that points are fitted to."""

SAMPLES = 4096
"""Embeddings that tell the law of the errors."""

PORTION_ROWS = 16_384
"""Embeddings that are taken in at a time."""

PORTION_QUERIES = 256
"""Queries that are screened at a time."""

FIRST_QUERIES = 32
"""Those that tell whether screening is worth while for the others."""

CANDIDATES = 16_384
"""Rows with the largest estimates that are looked at for each query at most."""

ROWS_PER_CANDIDATE = 60
"""A candidate, which lies anywhere, takes about as long as so many rows of a product with a few queries."""

ROWS_PER_CANDIDATE_OF_MANY = 240
"""And with many queries, whose product is quicker for each."""

MANY_QUERIES = 64

FEW_CANDIDATES = 400
"""So many are multiplied together with those of other queries; more are searched on their own."""

CERTAINTY = 6.0
"""Deviations by which a row's estimate may be lower than it is on average. Errors are close to normally distributed:
one in a billion is larger, one in millions where row and query are nearly equal.
"""

WORTH_WHILE = 0.4
"""Share of the queries that must be settled: screening takes about a third of the time of looking at all."""


class Estimates(NamedTuple):
    """What a screen tells of some queries.

    Attributes:
        rows: (queries, candidates) those with the largest estimates, largest first.
        values: (queries, candidates) their estimates.
        rounding: (queries,) how far FAISS's whole numbers may be off the estimates.
    """

    rows: Integers
    values: Singles
    rounding: Singles


class Screen:
    """Estimates inner products with embeddings of length one.

    Args:
        faiss_index: a random rotation and then an index of blocks.
    """

    def __init__(self, faiss_index: Any) -> None:
        faiss = faiss_module()
        self.faiss_index = faiss_index
        self._rotation = faiss.downcast_VectorTransform(faiss_index.chain.at(0))
        self._blocks = faiss.downcast_index(faiss_index.index)
        quantizer = self._blocks.pq
        centroids = faiss.vector_to_array(quantizer.centroids)
        self._points = centroids.reshape(quantizer.M, POINTS, quantizer.dsub)[0]
        self._measure_law()

    @classmethod
    def of(cls, faiss_index: Any, size: int) -> Self:
        """A screen of an index that was read from a file.

        Raises:
            ValueError: it is not such an index, or one of embeddings of another size.
        """
        expected = cls.empty(size)
        screen = cls(faiss_index)
        if (faiss_index.d, screen._blocks.d, screen._points.shape) != (
            size,
            expected._blocks.d,  # noqa: SLF001
            expected._points.shape,  # noqa: SLF001
        ):
            raise ValueError("another screen")
        return screen

    @classmethod
    def empty(cls, size: int) -> Self:
        """A screen without embeddings.

        Args:
            size: numbers in an embedding.
        """
        faiss = faiss_module()
        block = max(SHORTEST_BLOCK, -(-size // MOST_BLOCKS))
        blocks = -(-size // block)
        drawn = np.random.default_rng(0).standard_normal((DRAWN, block), np.float32)
        fit = faiss.Kmeans(block, POINTS, seed=0, max_points_per_centroid=DRAWN)
        fit.train(drawn)
        index = faiss.IndexPQFastScan(block * blocks, blocks, 4, faiss.METRIC_INNER_PRODUCT)
        points = fit.centroids / math.sqrt(block * blocks)
        faiss.copy_array_to_vector(np.tile(points.ravel(), blocks), index.pq.centroids)
        index.is_trained = True
        rotation = faiss.RandomRotationMatrix(size, block * blocks)
        rotation.init(0)
        return cls(faiss.IndexPreTransform(rotation, index))

    def _measure_law(self) -> None:
        """Measures what an estimate is of: an embedding's share of its blocks' points, and what stands upright on it.

        Rotated at random, any embedding is one of these.
        """
        size = self._blocks.d
        drawn = np.random.default_rng(1).standard_normal((SAMPLES, size), np.float32)
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        replaced = self._blocks.sa_decode(self._blocks.sa_encode(drawn))
        along = np.vecdot(drawn, replaced)
        self._share = float(along.mean())
        self._share_variance = float(along.var())
        self._error_variance = float((np.vecdot(replaced, replaced) - along**2).mean() / (size - 1))

    def __len__(self) -> int:
        return int(self.faiss_index.ntotal)

    def candidates(self, queries: int) -> int:
        """Rows that are looked at for each of so many queries at most."""
        share = ROWS_PER_CANDIDATE if queries < MANY_QUERIES else ROWS_PER_CANDIDATE_OF_MANY
        return min(CANDIDATES, len(self) // share)

    def follow(self, codes: NDArray[np.float16]) -> None:
        """Takes in the embeddings that it lacks.

        Args:
            codes: (rows, size) all of them.
        """
        for start in range(len(self), len(codes), PORTION_ROWS):
            self.faiss_index.add(codes[start : start + PORTION_ROWS].astype(np.float32))

    def remove(self, rows: Integers) -> None:
        """Forgets embeddings, and those that are left in the last block of rows, which must `follow` again.

        FAISS does not clear what becomes free of a block and would mix it with what is added there.
        """
        left = np.delete(np.arange(len(self)), rows)
        unfilled = left[len(left) // self._blocks.bbs * self._blocks.bbs :]
        self.faiss_index.remove_ids(faiss_module().IDSelectorBatch(np.concatenate([rows, unfilled])))

    def estimates(self, queries: Singles, candidates: int) -> Estimates:
        """The largest estimates.

        Args:
            queries: (queries, size) of length one.
            candidates: how many for each.
        """
        rotated = self._rotation.apply(queries)
        values, rows = self._blocks.search(rotated, candidates)
        tables = rotated.reshape(len(queries), -1, self._points.shape[1]) @ self._points.T  # (queries, blocks, POINTS)
        steps = np.ptp(tables, axis=2).max(axis=1) / 255  # FAISS rounds each product to a whole number of these
        return Estimates(rows, values, (tables.shape[1] * steps / 2).astype(np.float32))

    def least(self, similarity: Singles) -> Singles:
        """What rows that are at least as similar are estimated at, rounding aside.

        Args:
            similarity: (queries,) to a query of length one.
        """
        upright = np.maximum(1 - similarity**2, 0)
        variance = similarity**2 * self._share_variance + upright * self._error_variance
        return (self._share * similarity - CERTAINTY * np.sqrt(variance)).astype(np.float32)


def screened_most_similar(
    screen: Screen,
    codes: NDArray[np.float16],
    ids: Integers,
    queries: Singles,
    top: int,
    allowed: NDArray[np.bool_] | None = None,
    search_all: Callable[[Singles], Nearest] | None = None,
) -> Nearest:
    """Finds what `most_similar` finds, sooner where what is found stands out from the rest.

    A query whose candidates might not be all that matter is left to `search_all`, and so are all where that happens
    too often. A row that belongs to the result is missed if its estimate is further off than `CERTAINTY` deviations.

    Args:
        screen: holds the embeddings in the same order.
        codes: (rows, size) embeddings of length one, C-contiguous.
        ids: (rows,) the numbers of the embeddings.
        queries: (queries, size) of length one.
        top: how many to find.
        allowed: (rows,) whether a row may be found; None allows all.
        search_all: finds the same of queries without a screen; by default `most_similar`.

    Returns:
        As `most_similar`.
    """
    count = min(top, len(codes) if allowed is None else int(allowed.sum()))
    found = Nearest(np.empty((len(queries), count), np.int64), np.empty((len(queries), count), np.float32))
    left = np.ones(len(queries), np.bool_)
    candidates = screen.candidates(len(queries))
    start, size = 0, FIRST_QUERIES
    while 0 < 2 * count <= candidates and start < len(queries):
        part = slice(start, start + size)
        rows = _find_rows_that_matter(screen, codes, ids, queries[part], count, candidates, allowed)
        settled = [start + place for place, chosen in enumerate(rows) if chosen is not None]
        chosen = [chosen for chosen in rows if chosen is not None]
        found.ids[settled], found.similarities[settled] = _find_nearest(chosen, codes, ids, queries[settled], count)
        left[settled] = False
        if len(settled) < WORTH_WHILE * len(rows):
            break
        start, size = start + size, PORTION_QUERIES
    if left.any():
        asked = queries[left]
        nearest = search_all(asked) if search_all else most_similar(codes, ids, asked, top, allowed)
        found.ids[left], found.similarities[left] = nearest
    return found


def _find_rows_that_matter(
    screen: Screen,
    codes: NDArray[np.float16],
    ids: Integers,
    queries: Singles,
    count: int,
    candidates: int,
    allowed: NDArray[np.bool_] | None,
) -> list[Integers | None]:
    """Ascending rows that hold the result of each query, None where candidates do not tell which these are."""
    rows, estimates, rounding = screen.estimates(queries, candidates)
    kept = np.ones(rows.shape, np.bool_) if allowed is None else allowed[rows]
    first = kept & (np.cumsum(kept, axis=1) <= 2 * count)  # these are probably better than most of the others
    settled = (rows[:, -1] >= 0) & (first.sum(axis=1) >= count)
    query, place = np.nonzero(first & settled[:, None])
    row = rows[query, place]
    product = pair_products(codes, queries, row, query)
    best = best_pairs(query, product, ids[row], count)
    least = np.full(len(queries), np.inf, np.float32)
    least[settled] = screen.least(product[best[count - 1 :: count]]) - rounding[settled]
    settled &= estimates[:, -1] < least
    matter = first | (kept & (estimates >= least[:, None]))
    return [np.sort(row[chosen]) if known else None for known, row, chosen in zip(settled, rows, matter, strict=True)]


def _find_nearest(
    rows: list[Integers], codes: NDArray[np.float16], ids: Integers, queries: Singles, count: int
) -> Nearest:
    """The nearest of each query among rows of its own."""
    found = Nearest(np.empty((len(rows), count), np.int64), np.empty((len(rows), count), np.float32))
    few = [place for place, row in enumerate(rows) if len(row) <= FEW_CANDIDATES]
    if few:
        query = np.repeat(np.arange(len(few)), [len(rows[place]) for place in few])
        row = np.concatenate([rows[place] for place in few])
        product = pair_products(codes, queries[few], row, query)
        best = best_pairs(query, product, ids[row], count)
        found.ids[few], found.similarities[few] = ids[row[best]].reshape(-1, count), product[best].reshape(-1, count)
    for place, row in enumerate(rows):
        if len(row) > FEW_CANDIDATES:
            alone = slice(place, place + 1)
            found.ids[alone], found.similarities[alone] = most_similar(codes, ids, queries[alone], count, row)
    return found
