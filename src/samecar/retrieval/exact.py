"""Exact search in half-precision embeddings: every allowed one is looked at; arrays only.

Rows are converted to single precision and multiplied, a chunk at a time. These products only choose candidates: rows
that may be among the best, given how far a product in single precision can be off. Candidates are multiplied again in
double precision, so the result depends neither on chunks and threads nor on the other queries of a batch.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Singles = NDArray[np.float32]

CHUNK_ROWS = 4096
"""Embeddings that are converted at a time: 8 MB of single precision at 512 numbers each, which a cache holds."""

CHUNK_QUERIES = 1024
"""Queries that share a conversion; more would hardly make it cheaper, and need more memory."""

PRODUCT_ELEMENTS = 8_000_000
"""Products that are held at a time: 32 MB."""

BLOCK = 64
"""Products of which only the largest is looked at first: enough to skip most, few enough to open little in vain."""

PAIR_ELEMENTS = 1_000_000
"""Numbers of candidates that are multiplied in double precision at a time: 8 MB for each side."""

LOWEST = np.finfo(np.float32).min


class Nearest(NamedTuple):
    """The most similar embeddings of each query, most similar first, equal ones in the order of their numbers."""

    ids: Integers  # (queries, found)
    similarities: Singles  # (queries, found)


class _Candidates(NamedTuple):
    """Pairs of a query and a row that may belong to the result."""

    query: Integers  # (pairs,)
    row: Integers  # (pairs,)
    product: Singles  # (pairs,) exact for those that were found, else off by the margin at most


def most_similar(
    codes: NDArray[np.float16],
    ids: Integers,
    queries: Singles,
    top: int,
    allowed: NDArray[np.bool_] | Integers | None = None,
) -> Nearest:
    """Finds the embeddings that have the largest inner product with each query.

    Args:
        codes: (rows, size) embeddings of length one, C-contiguous; they are not copied.
        ids: (rows,) the numbers of the embeddings, each another one, in any order.
        queries: (queries, size), finite.
        top: how many to find, 1 or more; fewer are found where fewer are allowed.
        allowed: the rows that may be found: a mask (rows,), or their ascending positions; None allows all.

    Returns:
        Numbers and similarities, each (queries, the smaller of `top` and the rows allowed). A similarity is the inner
        product of a stored embedding and the query, rounded to single precision.
    """
    rows = None if allowed is None else _positions(allowed)
    count = len(codes) if rows is None else len(rows)
    shape = (len(queries), min(top, count))
    nearest = Nearest(np.empty(shape, np.int64), np.empty(shape, np.float32))
    if nearest.ids.size == 0:
        return nearest
    for start in range(0, len(queries), CHUNK_QUERIES):
        part = slice(start, start + CHUNK_QUERIES)
        search = _Search(codes, ids, np.ascontiguousarray(queries[part], np.float32), shape[1])
        nearest.ids[part], nearest.similarities[part] = search.run(rows, count)
    return nearest


class _Search:
    """A search while it goes through the rows."""

    def __init__(self, codes: NDArray[np.float16], ids: Integers, queries: Singles, top: int) -> None:
        self.codes, self.ids, self.queries, self.top = codes, ids, queries, top
        size = codes.shape[1]
        lengths = np.linalg.norm(queries, axis=1)
        self.margin = ((size + 2) * np.finfo(np.float32).eps * lengths).astype(np.float32)
        """(queries,) how far a product with an embedding of length one may be off: the bound of any order of adding."""
        self.floor = np.full(len(queries), LOWEST, np.float32)
        """(queries,) a product below it does not belong to the result."""
        self.found = _Candidates(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))

    def run(self, rows: Integers | None, count: int) -> Nearest:
        """Goes through `count` rows, all or those at these positions."""
        queries = len(self.queries)
        width = min(_up_to_block(count), max(1, PRODUCT_ELEMENTS // queries // CHUNK_ROWS) * CHUNK_ROWS)
        products = np.empty((queries, width), np.float32)
        chunk = np.empty((min(count, CHUNK_ROWS), self.codes.shape[1]), np.float32)
        waiting: list[_Candidates] = []
        for start in range(0, count, width):
            stop = min(start + width, count)
            for first in range(start, stop, CHUNK_ROWS):
                last = min(first + CHUNK_ROWS, stop)
                single = chunk[: last - first]
                _convert(_picked(self.codes, rows, first, last), single)
                np.matmul(self.queries, single.T, out=products[:, first - start : last - start])
            padded = products[:, : _up_to_block(stop - start)]
            padded[:, stop - start :] = -np.inf
            candidates = self._candidates(padded)
            position = candidates.row + start
            waiting.append(candidates._replace(row=position if rows is None else rows[position]))
            if sum(len(part.row) for part in waiting) >= queries * self.top:
                self._settle(waiting)
                waiting = []
        if waiting:
            self._settle(waiting)
        shape = (queries, self.top)
        return Nearest(self.ids[self.found.row].reshape(shape), self.found.product.reshape(shape))

    def _candidates(self, products: Singles) -> _Candidates:
        """The products, (queries, a multiple of BLOCK), that are not below the floor; rows count from 0."""
        blocks = _block_maxima(products)
        if self.found.row.size == 0 and blocks.shape[1] >= self.top:
            least = np.partition(blocks, -self.top, axis=1)[:, -self.top]  # `top` products at least are not below it
            self.floor = np.maximum(self.floor, least - 2 * self.margin)
        query, block = np.nonzero(blocks >= self.floor[:, None])
        opened = products.reshape(len(products), -1, BLOCK)[query, block]  # (opened blocks, BLOCK)
        hit, column = np.nonzero(opened >= self.floor[query, None])
        return _Candidates(query[hit], block[hit] * BLOCK + column, opened[hit, column])

    def _settle(self, waiting: list[_Candidates]) -> None:
        """Multiplies candidates in double precision, keeps the best with those found before and raises the floor."""
        query, row, product = _joined(waiting)
        self._raise_floor(query, product, np.lexsort((-product, query)), 2 * self.margin)
        kept = product >= self.floor[query]
        query, row = query[kept], row[kept]
        query, row, product = _joined([self.found, _Candidates(query, row, self._exact(query, row))])
        order = np.lexsort((self.ids[row], -product, query))
        order = order[_places(query[order]) < self.top]
        self.found = _Candidates(query[order], row[order], product[order])
        self._raise_floor(self.found.query, self.found.product, np.arange(len(order)), self.margin)

    def _raise_floor(self, query: Integers, product: Singles, order: Integers, margin: Singles) -> None:
        """Raises it to the last product of the `top` best, less a margin; `order` sorts by query, best first."""
        last = order[_places(query[order]) == self.top - 1]
        self.floor[query[last]] = np.maximum(self.floor[query[last]], product[last] - margin[query[last]])

    def _exact(self, query: Integers, row: Integers) -> Singles:
        """Inner products in double precision, rounded to single."""
        exact = np.empty(len(row), np.float32)
        step = max(1, PAIR_ELEMENTS // max(1, self.codes.shape[1]))
        for start in range(0, len(row), step):
            pairs = slice(start, start + step)
            exact[pairs] = np.vecdot(
                self.codes[row[pairs]].astype(np.float64), self.queries[query[pairs]].astype(np.float64)
            )
        return exact


def _positions(allowed: NDArray[np.bool_] | Integers) -> Integers:
    return np.flatnonzero(allowed) if allowed.dtype == np.bool_ else allowed.astype(np.int64, copy=False)


def _joined(parts: list[_Candidates]) -> _Candidates:
    return _Candidates(
        np.concatenate([part.query for part in parts]),
        np.concatenate([part.row for part in parts]),
        np.concatenate([part.product for part in parts]),
    )


def _picked(codes: NDArray[np.float16], rows: Integers | None, first: int, last: int) -> NDArray[np.float16]:
    """Some allowed rows; a copy only where they do not lie side by side."""
    if rows is None:
        return codes[first:last]
    if rows[last - 1] - rows[first] == last - 1 - first:
        return codes[rows[first] : rows[last - 1] + 1]
    return codes[rows[first:last]]


def _convert(codes: NDArray[np.float16], single: Singles) -> None:
    """Writes half precision as single; torch does it ten times as fast as NumPy, on all cores."""
    import torch

    torch.from_numpy(single).copy_(torch.from_numpy(codes))


def _block_maxima(products: Singles) -> Singles:
    """The largest of each BLOCK of columns: (queries, blocks)."""
    import torch

    maxima: Singles = torch.from_numpy(products.reshape(len(products), -1, BLOCK)).amax(dim=2).numpy()
    return maxima


def _up_to_block(count: int) -> int:
    return -(-count // BLOCK) * BLOCK


def _places(query: Integers) -> Integers:
    """Of pairs that are sorted by query: how many of the same query come before each."""
    positions = np.arange(len(query))
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    lengths = np.diff(starts, append=len(query))
    return positions - np.repeat(starts, lengths)
