"""Searching embeddings with FAISS: every one of them, or the likeliest of an approximate index."""

import math
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from samecar.retrieval.folder.few_queries import FEW, most_similar_of_few
from samecar.retrieval.folder.library import faiss_module
from samecar.retrieval.folder.screen import Screen, screened_most_similar
from samecar.similarity.exact import MANY, Nearest, most_similar
from samecar.similarity.products import Singles

KINDS = ("exact", "int8", "ivf")
"""What an index in a folder compares: every embedding that may be among the nearest, in half precision; every one, in
one byte for each number; or those in the lists whose centres are nearest."""

FITTED_ON = 65_536
"""Stored embeddings that an approximate index is fitted to at most; more make it hardly better, only slower to fit."""

SCREENED_FROM = 10_000
"""Embeddings from which on an exact index is screened: for fewer, looking at all of them is as quick."""

SCREENED_SIZE = 128
"""Least numbers in an embedding that is screened: what is off an estimate grows as they become fewer."""

_LISTS_PER_ROOT = 4  # inverted lists for each unit of the square root of the number of embeddings, as FAISS advises

_EMBEDDINGS_PER_LIST = 39  # with fewer for each list FAISS warns that its centre means little

_PROBED_SHARE = 1 / 16  # of the lists that a search looks into

_PROBED_AT_LEAST = 8  # lists, where there are few


class VectorIndex:
    """Numbers and embeddings of entries, searched by inner product.

    Args:
        kind: one of `KINDS`.
        index: the FAISS index, which keeps entries in the order in which they were added.
        screen: of an exact index, as far as it was made.
    """

    def __init__(self, kind: str, index: Any, screen: Screen | None = None) -> None:
        self.kind = kind
        self.faiss_index = index
        self.screen = screen
        self._complete_screen()

    @classmethod
    def fitted(cls, kind: str, sample: NDArray[np.float16], entries: int) -> Self:
        """An empty index.

        Args:
            kind: one of `KINDS`.
            sample: (sample, size) embeddings that an approximate one is fitted to.
            entries: how many it is going to hold.
        """
        faiss = faiss_module()
        size = sample.shape[1]
        if kind == "ivf":
            lists = min(round(_LISTS_PER_ROOT * math.sqrt(entries)), len(sample) // _EMBEDDINGS_PER_LIST)
            index = faiss.IndexIVFScalarQuantizer(
                faiss.IndexFlatIP(size),
                size,
                max(lists, 1),
                faiss.ScalarQuantizer.QT_fp16,
                faiss.METRIC_INNER_PRODUCT,
                False,  # embeddings themselves, not what they differ by from their list's centre
            )
            index.cp.min_points_per_centroid = 1  # says nothing of few embeddings, for which there is one list
            index.cp.spherical = True  # centres of unit length, as inner products are compared
        else:
            code = faiss.ScalarQuantizer.QT_8bit if kind == "int8" else faiss.ScalarQuantizer.QT_fp16
            index = faiss.IndexIDMap(faiss.IndexScalarQuantizer(size, code, faiss.METRIC_INNER_PRODUCT))
        if kind != "exact":
            index.train(sample.astype(np.float32))
        return cls(kind, index)

    def __len__(self) -> int:
        return int(self.faiss_index.ntotal)

    @property
    def ids(self) -> NDArray[np.int64]:
        """(entries,) numbers of the entries that it holds; of 'exact' and 'int8' a view, ascending."""
        faiss = faiss_module()
        if self.kind != "ivf":
            return _view_vector(self.faiss_index.id_map, len(self), np.int64)
        lists = self.faiss_index.invlists
        numbers = [
            faiss.rev_swig_ptr(lists.get_ids(row), lists.list_size(row))
            for row in range(lists.nlist)
            if lists.list_size(row)
        ]
        return np.concatenate(numbers) if numbers else np.empty(0, np.int64)

    @property
    def codes(self) -> NDArray[np.float16]:
        """(entries, size) embeddings of an index of kind 'exact', in the order of `ids`; a view, until it changes."""
        inner = faiss_module().downcast_index(self.faiss_index.index)
        return _view_vector(inner.codes, inner.ntotal * inner.code_size, np.uint8).view(np.float16).reshape(-1, inner.d)

    def add(self, ids: NDArray[np.int64], matrix: NDArray[np.float16]) -> None:
        """Takes in entries.

        Args:
            ids: (entries,) their numbers, ascending, above those that it holds.
            matrix: (entries, size) their embeddings.
        """
        if self.kind == "exact":
            self.faiss_index.add_sa_codes(np.ascontiguousarray(matrix).view(np.uint8), ids)
            self._complete_screen()
        else:
            self.faiss_index.add_with_ids(matrix.astype(np.float32), ids)

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Forgets entries; those that it does not hold are left out."""
        if not len(ids):
            return
        if self.screen is not None:
            self.screen.remove(np.flatnonzero(np.isin(self.ids, ids)))
        self.faiss_index.remove_ids(faiss_module().IDSelectorBatch(ids))
        self._complete_screen()

    def _complete_screen(self) -> None:
        """Screens what is held, where that makes searches quicker."""
        if self.screen is None:
            if self.kind != "exact" or len(self) < SCREENED_FROM or self.codes.shape[1] < SCREENED_SIZE:
                return
            self.screen = Screen.empty(self.codes.shape[1])
        self.screen.follow(self.codes)

    def search(
        self, queries: NDArray[np.float32], top: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The most similar entries of each query.

        Args:
            queries: (queries, size).
            top: how many for each.
            allowed: whether an entry may be found, by its number; (at least the largest number + 1,). None allows all.

        Returns:
            (queries, found) numbers, -1 where an approximate index found no more, and inner products, most similar
            first; `found` is less than `top` where fewer are allowed.
        """
        rows = None if allowed is None else allowed[self.ids]
        if self.kind == "exact":
            return self._search_exactly(queries, top, allowed, rows)
        held = len(self) if rows is None else int(rows.sum())
        if not held:
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
        selector = None if allowed is None else faiss_module().IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
        for parameters in self._parameters(selector, held):
            similarities, ids = self.faiss_index.search(queries, min(top, held), params=parameters)
            if (ids >= 0).all():
                break
        return ids, similarities

    def _search_exactly(
        self, queries: Singles, top: int, allowed: NDArray[np.bool_] | None, rows: NDArray[np.bool_] | None
    ) -> Nearest:
        """The nearest of all that are allowed, by their numbers and by their rows."""
        codes, ids = self.codes, self.ids
        count = min(top, len(self) if rows is None else int(rows.sum()))

        def search_all(asked: Singles) -> Nearest:
            return most_similar(codes, ids, asked, top, rows)

        def search_few(asked: Singles) -> Nearest:
            if len(asked) > FEW or not count:
                return search_all(asked)
            return most_similar_of_few(self.faiss_index, codes, ids, asked, count, allowed, search_all)

        if self.screen is None or (rows is not None and rows.mean() <= MANY):
            return search_few(queries)
        return screened_most_similar(self.screen, codes, ids, queries, top, rows, search_few)

    def _parameters(self, selector: Any, held: int) -> Iterator[Any]:
        """Of a search among as many entries, and of another one where that does not find enough."""
        faiss = faiss_module()
        if self.kind != "ivf":
            yield faiss.SearchParameters(sel=selector)
            return
        lists = self.faiss_index.nlist
        # The fewer are allowed, the more lists are needed to find as many of them.
        probed = math.ceil(max(_PROBED_AT_LEAST, lists * _PROBED_SHARE) * len(self) / held)
        for probes in (min(probed, lists), lists):
            yield faiss.SearchParametersIVF(sel=selector, nprobe=probes)


def find_damage(index: Any, kind: str, size: int, last: int) -> str | None:
    """What is wrong with an index that FAISS has read from a file; None if nothing is.

    Args:
        index: of FAISS, of any class.
        kind: that it should have.
        size: numbers that its embeddings should have.
        last: the largest number that an entry may have.
    """
    faiss = faiss_module()
    expected = faiss.IndexIVFScalarQuantizer if kind == "ivf" else faiss.IndexIDMap
    if type(index) is not expected or (index.d, index.metric_type) != (size, faiss.METRIC_INNER_PRODUCT):
        return f"it is no index of kind {kind!r} and {size} numbers"
    inner = index if kind == "ivf" else faiss.downcast_index(index.index)
    code = faiss.ScalarQuantizer.QT_8bit if kind == "int8" else faiss.ScalarQuantizer.QT_fp16
    if not hasattr(inner, "sq") or (inner.d, inner.sq.d, inner.sq.qtype) != (size, size, code):
        return f"it holds no embeddings of kind {kind!r} and {size} numbers"
    if kind == "ivf":
        held, whole = index.invlists.compute_ntotal(), index.quantizer.ntotal == index.nlist
        whole = whole and index.quantizer.d == size and index.invlists.code_size == inner.sq.code_size
    else:
        held, whole = index.id_map.size(), inner.codes.size() == index.ntotal * inner.sq.code_size
    if not whole or held != index.ntotal or inner.ntotal != index.ntotal:
        return "it has not one embedding for each entry"
    ids = VectorIndex(kind, index).ids if kind == "ivf" else _view_vector(index.id_map, held, np.int64)
    ascending = kind == "ivf" or (np.diff(ids) > 0).all()
    if len(ids) and not (ascending and ids.min() > 0 and ids.max() <= last):
        return "its entries have other numbers than those of the catalogue"
    return None


def _view_vector(vector: Any, length: int, kind: type[np.generic]) -> NDArray[Any]:
    """The memory of a C++ vector, which must not change while the view is used."""
    if not length:
        return np.empty(0, kind)
    return faiss_module().rev_swig_ptr(vector.data(), length)  # type: ignore[no-any-return]
