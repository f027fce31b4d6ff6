"""Exact search with few queries: FAISS compares them with the stored half precision as it is, which is quickest.

Its products are in single precision and no more than proposals, as those of `most_similar` are: what may be among the
nearest is multiplied again in double precision.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samecar.retrieval.folder.library import faiss_module
from samecar.similarity.exact import Nearest, bound_error
from samecar.similarity.products import Integers, Singles, best_pairs, pair_products

FEW = 3
"""Queries that are searched so at most; for more, converting the embeddings is worth while."""

SPARE = 64
"""Proposals beyond those asked for: of these the last is nearly always too far away to matter."""


def most_similar_of_few(
    faiss_index: Any,
    codes: NDArray[np.float16],
    ids: Integers,
    queries: Singles,
    top: int,
    allowed: NDArray[np.bool_] | None,
    search_all: Callable[[Singles], Nearest],
) -> Nearest:
    """Finds what `most_similar` finds.

    Args:
        faiss_index: of the embeddings in half precision, by their numbers.
        codes: (rows, size) these embeddings.
        ids: (rows,) their numbers, ascending.
        queries: (queries, size), finite.
        top: how many to find, no more than are allowed.
        allowed: whether an embedding may be found, by its number; None allows all.
        search_all: finds the same, where proposals lie too close together to tell which matter.
    """
    held = len(codes) if allowed is None else int(allowed[ids].sum())
    selector = None if allowed is None else faiss_module().IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
    parameters = faiss_module().SearchParameters(sel=selector)
    count = min(top + SPARE, held)
    proposed, numbers = faiss_index.search(queries, count, params=parameters)
    least = proposed[:, top - 1] - 2 * bound_error(queries)  # (queries,) what is lower does not matter
    if count < held and (proposed[:, -1] >= least).any():
        return search_all(queries)
    query, place = np.nonzero(proposed >= least[:, None])
    row = np.searchsorted(ids, numbers[query, place])
    product = pair_products(codes, queries, row, query)
    best = best_pairs(query, product, ids[row], top)
    shape = (len(queries), top)
    return Nearest(ids[row[best]].reshape(shape), product[best].reshape(shape))
