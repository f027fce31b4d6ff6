"""Exact search in half-precision embeddings: every allowed one is looked at; arrays only.

Quick products in single precision, a chunk of rows at a time, choose candidates: rows that may be among the best, given
how far such a product can be off. Candidates are multiplied again in double precision, so the result depends neither on
the quick products' rounding nor on chunks, threads and the other queries of a batch.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.similarity.half_precision import widen
from samecar.similarity.products import Integers, Singles, best_pairs, count_before, pair_products

WIDENED_BYTES = 1 << 20
"""Embeddings in single precision that are held at a time: they stay in a cache until they are multiplied."""

CHUNK_QUERIES = 1024
"""Queries that share a conversion; more would hardly make it cheaper, and need more memory."""

PRODUCT_BYTES = 16 << 20
"""Quick products that are held at a time: what is looked at at once is still in a cache."""

BLOCK = 64
"""Products of which only the largest is looked at first: enough to skip most, few enough to open little in vain."""

FEW = 3
"""Queries that are multiplied one after the other, which is then quicker than all at a time."""

MANY = 0.3
"""Share of the embeddings from which on those of the allowed rows are not collected: all are multiplied instead."""

LONGEST = 1.01
"""Bound on an embedding's length: one, and what rounding to half precision may add."""


class Nearest(NamedTuple):
    """The most similar embeddings of each query, most similar first, equal ones in the order of their numbers."""

    ids: Integers  # (queries, found)
    similarities: Singles  # (queries, found)


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
    rows = _Rows(codes, allowed)
    shape = (len(queries), min(top, rows.allowed))
    nearest = Nearest(np.empty(shape, np.int64), np.empty(shape, np.float32))
    if nearest.ids.size == 0:
        return nearest
    for start in range(0, len(queries), CHUNK_QUERIES):
        part = slice(start, start + CHUNK_QUERIES)
        chunk = np.ascontiguousarray(queries[part], np.float32)
        nearest.ids[part], nearest.similarities[part] = _Search(rows, ids, chunk, shape[1]).run()
    return nearest


def bound_error(queries: Singles) -> Singles:
    """Bounds how far products of queries and embeddings in single precision are off, in any order; (queries,).

    Args:
        queries: (queries, size).
    """
    added = (queries.shape[1] + 2) * np.finfo(np.float32).eps  # twice what any order of adding can be off
    bound: Singles = LONGEST * (added + np.finfo(np.float32).eps) * np.linalg.norm(queries, axis=1)
    return bound


class _Rows:
    """The rows that are multiplied: the allowed ones or, where those are many, all, and `refused` tells which not."""

    def __init__(self, codes: NDArray[np.float16], allowed: NDArray[np.bool_] | Integers | None) -> None:
        self.codes = codes
        self.collected: Integers | None = None  # (count,) positions in codes; None for all
        self.refused: NDArray[np.bool_] | None = None  # (count,)
        self.count = self.allowed = len(codes)
        if allowed is None:
            return
        positions = np.flatnonzero(allowed) if allowed.dtype == np.bool_ else allowed
        self.allowed = len(positions)
        if self.allowed > MANY * len(codes):
            self.refused = np.ones(len(codes), np.bool_)
            self.refused[positions] = False
        else:
            self.collected = positions.astype(np.int64, copy=False)
            self.count = self.allowed

    def chunk(self, first: int, last: int) -> NDArray[np.float16]:
        """Embeddings of some rows."""
        if self.collected is None:
            return self.codes[first:last]
        return self.codes.take(self.collected[first:last], axis=0)

    def positions(self, rows: Integers) -> Integers:
        """Where they lie in codes."""
        return rows if self.collected is None else self.collected[rows]


class _Candidates(NamedTuple):
    """Pairs of a query and a row that may belong to the result, and bounds on their product."""

    query: Integers  # (pairs,)
    row: Integers  # (pairs,) in codes
    least: Singles  # (pairs,)
    most: Singles  # (pairs,)


class _Products:
    """Quick products of all queries with a chunk of rows."""

    def __init__(self, queries: Singles, rows: _Rows) -> None:
        self.rows, self.queries = rows, queries
        size = queries.shape[1]
        self.margin = bound_error(queries)
        most = PRODUCT_BYTES // queries.itemsize // len(queries) // BLOCK * BLOCK
        self.width = max(BLOCK, most)
        """Rows whose products are held at a time."""
        self.products = np.empty((_up_to_block(min(self.width, rows.count)), len(queries)), np.float32)
        self.widened = np.empty((max(1, WIDENED_BYTES // queries.itemsize // max(1, size)), size), np.float32)

    def multiply(self, start: int, stop: int) -> Singles:
        """Products of these rows, (a multiple of BLOCK, queries); minus infinity where there is no allowed row."""
        padded = self.products[: _up_to_block(stop - start)]
        products = padded[: stop - start]
        for first in range(start, stop, len(self.widened)):
            last = min(first + len(self.widened), stop)
            widened = widen(self.rows.chunk(first, last), self.widened[: last - first])
            part = products[first - start : last - start]
            if len(self.queries) > FEW:
                np.matmul(widened, self.queries.T, out=part)
            else:
                for number, query in enumerate(self.queries):
                    np.matmul(widened, query, out=part[:, number])
        padded[stop - start :] = -np.inf
        if self.rows.refused is not None:
            products[self.rows.refused[start:stop]] = -np.inf
        return padded


class _Search:
    """A search while it goes through the rows."""

    def __init__(self, rows: _Rows, ids: Integers, queries: Singles, top: int) -> None:
        self.rows, self.ids, self.queries, self.top = rows, ids, queries, top
        self.products = _Products(queries, rows)
        self.floor = np.full(len(queries), np.finfo(np.float32).min)
        """(queries,) rows whose product is less do not belong to the result."""
        none = np.empty(0, np.int64), np.empty(0, np.float32)
        self.kept = _Candidates(none[0], none[0], none[1], none[1])
        self.most_pairs = len(queries) * max(8 * top, rows.count // 1024)
        """Candidates from which on they are multiplied in double precision before the search goes on."""

    def run(self) -> Nearest:
        """Goes through all rows."""
        pruned = 0
        for start in range(0, self.rows.count, self.products.width):
            self.kept = _join(self.kept, self._candidates(start, min(start + self.products.width, self.rows.count)))
            if len(self.kept.row) >= pruned + len(self.queries) * self.top:
                self._prune()
                if len(self.kept.row) > self.most_pairs:
                    self._settle()
                pruned = len(self.kept.row)
        self._prune()
        self._settle()
        shape = (len(self.queries), self.top)
        return Nearest(self.ids[self.kept.row].reshape(shape), self.kept.least.reshape(shape))

    def _candidates(self, start: int, stop: int) -> _Candidates:
        """What may belong to the result of these rows."""
        products, margin = self.products.multiply(start, stop), self.products.margin
        blocks = products.reshape(-1, BLOCK, len(self.queries))
        largest = blocks.max(axis=1)  # (blocks, queries)
        if start == 0 and stop >= self.top:
            some = largest if len(largest) >= self.top else products
            least = np.partition(some, len(some) - self.top, axis=0)[len(some) - self.top]
            self.floor = np.maximum(self.floor, least - margin)
        lowest = self.floor - margin  # (queries,)
        block, query = np.nonzero(largest >= lowest)
        opened = blocks[block, :, query]  # (opened blocks, BLOCK)
        hit, place = np.nonzero(opened >= lowest[query, None])
        query, product = query[hit], opened[hit, place]
        row = self.rows.positions(start + BLOCK * block[hit] + place)
        margin = margin[query]
        return _Candidates(query, row, product - margin, product + margin)

    def _prune(self) -> None:
        """Raises the floor to what the `top` best have at least, and leaves out what is below it."""
        query, _, least, most = self.kept
        order = np.lexsort((-least, query))
        last = order[count_before(query[order]) == self.top - 1]
        self.floor[query[last]] = np.maximum(self.floor[query[last]], least[last])
        self.kept = _select(self.kept, most >= self.floor[query])

    def _settle(self) -> None:
        """Multiplies the candidates in double precision and keeps the `top` best, best first."""
        query, row, _, _ = self.kept
        product = pair_products(self.rows.codes, self.queries, row, query)
        best = best_pairs(query, product, self.ids[row], self.top)
        self.kept = _select(_Candidates(query, row, product, product), best)


def _join(first: _Candidates, second: _Candidates) -> _Candidates:
    return _Candidates(
        np.concatenate([first.query, second.query]),
        np.concatenate([first.row, second.row]),
        np.concatenate([first.least, second.least]),
        np.concatenate([first.most, second.most]),
    )


def _select(candidates: _Candidates, chosen: NDArray[np.bool_] | Integers) -> _Candidates:
    query, row, least, most = candidates
    return _Candidates(query[chosen], row[chosen], least[chosen], most[chosen])


def _up_to_block(count: int) -> int:
    return -(-count // BLOCK) * BLOCK
