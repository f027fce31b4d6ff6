"""What nearness is made of: chunks of rows, checks, distances a chunk at a time, and exact products of single pairs.

Nothing here holds a full query × gallery matrix: distances are made and used in chunks of queries.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.similarity.half_precision import widen

Distance = Literal["euclidean", "cosine"]
Matrix = NDArray[np.floating]
CHUNK_ELEMENTS = 4_000_000
"""Distances that are held at a time: 16 MB in float32."""

Integers = NDArray[np.int64]
Singles = NDArray[np.float32]
PAIRS = 512
"""Candidates that are multiplied in double precision at a time: 2 MB at 512 numbers each, which a cache holds."""

Rows = NDArray[np.int64]


def row_chunks(rows: int, width: int, elements: int | None = None) -> Iterator[slice]:
    """Slices of rows that hold about `elements` numbers when each row has `width`.

    Args:
        rows: how many there are.
        width: numbers in a row.
        elements: numbers in a slice; by default `CHUNK_ELEMENTS`. A slice has one row at least.
    """
    step = max(1, (elements or CHUNK_ELEMENTS) // max(1, width))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def distance_chunks(queries: Matrix, gallery: Matrix, distance: Distance) -> Iterator[tuple[slice, Matrix]]:
    """Yields squared distances, a chunk of queries at a time.

    Args:
        queries: (queries, size).
        gallery: (gallery, size).
        distance: 'euclidean' on the embeddings as they are; 'cosine' first scales each to length one, and then half
            of the squared Euclidean distance is one minus the cosine.

    Yields:
        The chunk's rows, and their squared Euclidean distances (rows, gallery), never negative. The array may be
        overwritten by its receiver.

    Raises:
        SamecarError: the embeddings' widths differ, are no matrices, or hold NaN or infinite values.
    """
    check_embeddings(queries, gallery)
    precision = np.result_type(queries, gallery, np.float32)  # squares overflow float16
    queries, gallery = queries.astype(precision, copy=False), gallery.astype(precision, copy=False)
    if distance == "cosine":
        queries, gallery = unit_length(queries), unit_length(gallery)
    query_squares = np.einsum("ij,ij->i", queries, queries)  # (queries,)
    gallery_squares = np.einsum("ij,ij->i", gallery, gallery)  # (gallery,)
    for chunk in row_chunks(len(queries), len(gallery)):
        squares = queries[chunk] @ gallery.T  # (rows, gallery)
        squares *= -2
        squares += gallery_squares
        squares += query_squares[chunk, None]
        yield chunk, np.maximum(squares, 0, out=squares)


def unit_length(embeddings: Matrix) -> Matrix:
    """Scales each row to Euclidean length one; a row of zeros stays.

    Args:
        embeddings: (pictures, size).
    """
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.where(lengths == 0, 1, lengths)


def check_real_numbers(queries: Matrix, gallery: Matrix) -> None:
    """Refuses embeddings that are no real numbers; it looks at their type alone.

    Raises:
        SamecarError: they are of another type.
    """
    for name, matrix in (("query", queries), ("gallery", gallery)):
        if matrix.dtype.kind not in "fiu":
            raise SamecarError(f"{name} embeddings are of type {matrix.dtype}; give real numbers, float32 at best")


def check_embeddings(queries: Matrix, gallery: Matrix) -> None:
    """Refuses embeddings that cannot be compared.

    Raises:
        SamecarError: they are no matrices, hold NaN or infinite values, or differ in width.
    """
    for name, matrix in (("query", queries), ("gallery", gallery)):
        if matrix.ndim != 2:
            raise SamecarError(f"{name} embeddings have shape {matrix.shape}; give a matrix (pictures, size)")
        row = _first_not_finite(matrix)
        if row is not None:
            raise SamecarError(f"{name} embedding {row} has a NaN or infinite value; embed the pictures again")
    if queries.shape[1] != gallery.shape[1]:
        raise SamecarError(
            f"query embeddings are {queries.shape[1]} wide and gallery embeddings {gallery.shape[1]}; "
            "embed both with one model"
        )


def _first_not_finite(matrix: Matrix) -> int | None:
    for rows in row_chunks(len(matrix), matrix.shape[1]):
        finite = np.isfinite(matrix[rows]).all(axis=1)
        if not finite.all():
            return int(rows.start + np.argmin(finite))
    return None


def pair_products(codes: NDArray[np.float16], queries: Singles, row: Integers, query: Integers) -> Singles:
    """(pairs,) products of rows and queries in double precision, rounded to single."""
    doubled = queries.astype(np.float64)
    order = np.argsort(query, kind="stable")
    exact = np.empty(len(row), np.float32)
    widened = np.empty((min(PAIRS, len(row)), codes.shape[1]), np.float32)
    for start in range(0, len(order), PAIRS):
        pairs = order[start : start + PAIRS]
        chosen, asked = widen(codes[row[pairs]], widened[: len(pairs)]).astype(np.float64), query[pairs]
        borders = np.flatnonzero(np.diff(asked, prepend=-1, append=-1))
        for first, last in pairwise(borders.tolist()):
            exact[pairs[first:last]] = chosen[first:last] @ doubled[asked[first]]
    return exact


def best_pairs(query: Integers, product: Singles, ids: Integers, top: int) -> Integers:
    """Places of each query's `top` pairs with the largest product, query by query; of equal ones the smaller number."""
    order = np.lexsort((ids, -product, query))
    best: Integers = order[count_before(query[order]) < top]
    return best


def count_before(query: Integers) -> Integers:
    """Of pairs that are sorted by query: how many of the same query come before each."""
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    lengths = np.diff(starts, append=len(query))
    return np.arange(len(query)) - np.repeat(starts, lengths)
