"""Distances by name, and nearest neighbours; arrays only, no files and no models."""

from collections.abc import Callable
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.similarity.products import Distance, Matrix, distance_chunks


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
        distance: euclidean on embeddings as they are, or cosine.
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
