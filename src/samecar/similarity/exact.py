"""Exact search in half-precision embeddings: every allowed one is looked at; arrays only.

Quick products, a chunk of rows at a time, choose candidates: rows that may be among the best, given how far such a
product can be off. For one query they are made of the stored half precision as it is; for a batch in bfloat16 where the
processor multiplies that, else in single precision. Candidates are multiplied again in double precision, so the result
depends neither on the quick products' precision nor on chunks, threads and the other queries of a batch.
"""

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.similarity.products import Integers, Singles, best_pairs, count_before, pair_products

if TYPE_CHECKING:
    import torch


CHUNK_ROWS = 4096
"""Most embeddings that are converted or collected at a time: 8 MB of single precision at 512 numbers each, which a
cache holds."""

CHUNK_QUERIES = 1024
"""Queries that share a conversion; more would hardly make it cheaper, and need more memory."""

PRODUCT_BYTES = 16 << 20
"""Quick products that are held at a time: what is looked at at once is still in a cache."""

BLOCK = 64
"""Products of which only the largest is looked at first: enough to skip most, few enough to open little in vain."""


BATCH = 3
"""Fewest queries for which it is worth converting the embeddings; for fewer, reading them is what takes the time."""

NUMPY_QUERIES = 256
"""Fewest queries whose products in single precision are left to NumPy. On some processors its product is the quicker
one, but its threads and torch's get into each other's way at each change."""

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
        nearest.ids[part], nearest.similarities[part] = _search_rows(rows, ids, chunk, shape[1])
    return nearest


def _search_rows(rows: "_Rows", ids: Integers, queries: Singles, top: int) -> Nearest:
    import torch

    found = None
    if len(queries) < BATCH:
        found = _Search(rows, ids, queries, top, torch.float16).run()
    elif _multiplies_bfloat16():
        found = _Search(rows, ids, queries, top, torch.bfloat16).run()
    if found is None:  # also where embeddings lie too close together for coarse products to tell them apart
        found = _Search(rows, ids, queries, top, torch.float32).run()
    assert found is not None
    return found


class _Rows:
    """The rows that are multiplied: the allowed ones or, where those are many, all, and `refused` tells which not."""

    def __init__(self, codes: NDArray[np.float16], allowed: NDArray[np.bool_] | Integers | None) -> None:
        import torch

        self.codes = torch.from_numpy(codes)
        self.collected: torch.Tensor | None = None  # (count,) positions in codes; None for all
        self.refused: torch.Tensor | None = None  # (count,)
        self.count = self.allowed = len(codes)
        if allowed is None:
            return
        positions = np.flatnonzero(allowed) if allowed.dtype == np.bool_ else allowed
        self.allowed = len(positions)
        if self.allowed > MANY * len(codes):
            refused = np.ones(len(codes), np.bool_)
            refused[positions] = False
            self.refused = torch.from_numpy(refused)
        else:
            self.collected = torch.from_numpy(positions.astype(np.int64, copy=False))
            self.count = self.allowed

    def chunk(self, first: int, last: int, room: "torch.Tensor | None") -> "torch.Tensor":
        """Embeddings of some rows; in `room` where they do not lie side by side."""
        if self.collected is None or room is None:
            return self.codes[first:last]
        import torch

        return torch.index_select(self.codes, 0, self.collected[first:last], out=room[: last - first])

    def positions(self, rows: "torch.Tensor") -> Integers:
        """Where they lie in codes."""
        positions: Integers = (rows if self.collected is None else self.collected[rows]).numpy()
        return positions


class _Candidates(NamedTuple):
    """Pairs of a query and a row that may belong to the result, and bounds on their product."""

    query: Integers  # (pairs,)
    row: Integers  # (pairs,) in codes
    least: Singles  # (pairs,)
    most: Singles  # (pairs,)


class _Products:
    """Quick products of all queries with a chunk of rows, in one precision."""

    def __init__(self, queries: Singles, rows: _Rows, precision: "torch.dtype") -> None:
        import torch

        self.rows = rows
        single = torch.from_numpy(queries)
        self.queries = single.to(precision)
        length = torch.linalg.vector_norm(single, dim=1)
        rounded = torch.linalg.vector_norm(single - self.queries.float(), dim=1)
        size = queries.shape[1]
        added = (size + 2) * torch.finfo(torch.float32).eps  # twice what any order of adding can be off
        self.margin = LONGEST * (rounded + (torch.finfo(precision).eps + added) * length)
        """(queries,) bound on how far a product is off: rounding the query, the row and the product, and adding."""
        converts, collects = precision != torch.float16, rows.collected is not None
        most = PRODUCT_BYTES // precision.itemsize // len(queries) // BLOCK * BLOCK
        self.width = max(BLOCK, min(most, CHUNK_ROWS) if converts or collects else most)
        """Rows that are multiplied at a time."""
        held = min(self.width, rows.count)
        self.products = torch.empty((_up_to_block(held), len(queries)), dtype=precision)
        self.collected = torch.empty((held, size), dtype=torch.float16) if collects else None
        self.converted = torch.empty((held, size), dtype=precision) if converts else None

    def multiply(self, start: int, stop: int) -> "torch.Tensor":
        """Products of these rows, (a multiple of BLOCK, queries); minus infinity where there is no allowed row."""
        import torch

        chunk = self.rows.chunk(start, stop, self.collected)
        if self.converted is not None:
            chunk = self.converted[: stop - start].copy_(chunk)
        padded = self.products[: _up_to_block(stop - start)]
        products = padded[: stop - start]
        if chunk.dtype == torch.float32 and products.shape[1] >= NUMPY_QUERIES:
            np.matmul(chunk.numpy(), self.queries.numpy().T, out=products.numpy())
        else:
            torch.mm(chunk, self.queries.T, out=products)
        padded[stop - start :] = -torch.inf
        if self.rows.refused is not None:
            padded[: stop - start].masked_fill_(self.rows.refused[start:stop, None], -torch.inf)
        return padded


class _Search:
    """A search while it goes through the rows."""

    def __init__(self, rows: _Rows, ids: Integers, queries: Singles, top: int, precision: "torch.dtype") -> None:
        import torch

        self.rows, self.ids, self.queries, self.top = rows, ids, queries, top
        self.coarse = precision != torch.float32
        self.products = _Products(queries, rows, precision)
        self.floor = torch.full((len(queries),), torch.finfo(torch.float32).min)
        """(queries,) rows whose product is less do not belong to the result."""
        none = np.empty(0, np.int64), np.empty(0, np.float32)
        self.kept = _Candidates(none[0], none[0], none[1], none[1])
        self.most_pairs = len(queries) * max(8 * top, rows.count // 1024)
        """Candidates from which on single precision, that leaves fewer, is quicker than coarse products."""

    def run(self) -> Nearest | None:
        """Goes through all rows; None where coarse products leave too many candidates."""
        pruned = 0
        for start in range(0, self.rows.count, self.products.width):
            stop = min(start + self.products.width, self.rows.count)
            new = self._candidates(start, stop)
            if new is None:
                return None
            self.kept = _join(self.kept, new)
            if len(self.kept.row) >= pruned + len(self.queries) * self.top:
                self._prune()
                if len(self.kept.row) > self.most_pairs:
                    if self.coarse:
                        return None
                    self._settle()
                pruned = len(self.kept.row)
        self._prune()
        self._settle()
        shape = (len(self.queries), self.top)
        return Nearest(self.ids[self.kept.row].reshape(shape), self.kept.least.reshape(shape))

    def _candidates(self, start: int, stop: int) -> _Candidates | None:
        """What may belong to the result of these rows; None where coarse products leave too many."""
        import torch

        products, margin = self.products.multiply(start, stop), self.products.margin
        blocks = products.unflatten(0, (-1, BLOCK))  # type: ignore[no-untyped-call]  # (blocks, BLOCK, queries)
        largest = blocks.amax(dim=1)  # (blocks, queries)
        if start == 0 and stop >= self.top:
            some = largest if len(largest) >= self.top else products
            least = some.topk(self.top, dim=0, sorted=False).values.amin(dim=0)
            self.floor = torch.maximum(self.floor, least - margin)
        lowest = self.floor - margin  # (queries,)
        block, query = torch.nonzero(largest >= lowest, as_tuple=True)
        if self.coarse and len(query) > self.most_pairs:
            return None
        opened = blocks[block, :, query].float()  # (opened blocks, BLOCK)
        hit, place = torch.nonzero(opened >= lowest[query, None], as_tuple=True)
        query, product = query[hit], opened[hit, place]
        row = self.rows.positions(start + BLOCK * block[hit] + place)
        margin = margin[query]
        return _Candidates(query.numpy(), row, (product - margin).numpy(), (product + margin).numpy())

    def _prune(self) -> None:
        """Raises the floor to what the `top` best have at least, and leaves out what is below it."""
        query, _, least, most = self.kept
        floor = self.floor.numpy()
        order = np.lexsort((-least, query))
        last = order[count_before(query[order]) == self.top - 1]
        floor[query[last]] = np.maximum(floor[query[last]], least[last])
        self.kept = _select(self.kept, most >= floor[query])

    def _settle(self) -> None:
        """Multiplies the candidates in double precision and keeps the `top` best, best first."""
        query, row, _, _ = self.kept
        product = pair_products(self.rows.codes.numpy(), self.queries, row, query)
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


@cache
def _multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it; a torch that cannot tell counts as no."""
    import torch

    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
