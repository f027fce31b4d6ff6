"""Distances between embeddings and nearest neighbours; arrays only, no files and no models.

Nothing here holds a full query × gallery matrix: distances are made and used in chunks of queries.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError

Distance = Literal["euclidean", "cosine"]
Matrix = NDArray[np.floating]

CHUNK_ELEMENTS = 4_000_000
"""Distances that are held at a time: 16 MB in float32."""


class Ranking(NamedTuple):
    """The nearest gallery rows of each query, nearest first."""

    indices: NDArray[np.int64]  # (queries, count)
    distances: NDArray[np.float32]  # (queries, count), infinite where fewer than count rows are allowed


def find_distance(name: str) -> Distance:
    """Gives a distance by name.

    Raises:
        SamecarError: there is none of that name.
    """
    for known in get_args(Distance):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise SamecarError(f"unknown distance {name!r}; known are {', '.join(get_args(Distance))}")


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
    rows = max(1, CHUNK_ELEMENTS // max(1, len(gallery)))
    for start in range(0, len(queries), rows):
        chunk = slice(start, min(start + rows, len(queries)))
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


def nearest(
    queries: Matrix,
    gallery: Matrix,
    count: int,
    *,
    distance: Distance = "euclidean",
    excluded: Callable[[slice], NDArray[np.bool_]] | None = None,
) -> Ranking:
    """Finds the nearest gallery rows of each query; among equal distances the lower row comes first.

    Args:
        queries: (queries, size).
        gallery: (gallery, size).
        count: how many to find; fewer are found when the gallery is smaller.
        distance: see `distance_chunks`.
        excluded: gives for a slice of queries the gallery rows that may not appear, (rows, gallery).
    """
    count = min(count, len(gallery))
    indices = np.empty((len(queries), count), np.int64)
    distances = np.empty((len(queries), count), np.float32)
    for chunk, squares in distance_chunks(queries, gallery, distance):
        if excluded is not None:
            squares[excluded(chunk)] = np.inf
        order = np.argsort(squares, axis=1, kind="stable")[:, :count]
        indices[chunk] = order
        found = np.take_along_axis(squares, order, axis=1)
        distances[chunk] = found / 2 if distance == "cosine" else np.sqrt(found)
    return Ranking(indices, distances)


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
    step = max(1, CHUNK_ELEMENTS // max(1, matrix.shape[1]))
    for start in range(0, len(matrix), step):
        finite = np.isfinite(matrix[start : start + step]).all(axis=1)
        if not finite.all():
            return start + int(np.argmin(finite))
    return None
