"""Embeddings on their way into a gallery and queries on their way to it: of the right size, finite, of length one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from samecar.errors import SamecarError
from samecar.retrieval.records import Addition

LENGTH_TOLERANCE = 1e-3
"""How far from 1 the length of an embedding may be; half precision alone takes it up to 0.0005 away."""


def stored_embeddings(additions: Sequence[Addition], size: int) -> NDArray[np.float16]:
    """The embeddings of additions as galleries keep them.

    Args:
        additions: what is added.
        size: numbers in an embedding of the gallery.

    Returns:
        (additions, size) in half precision.

    Raises:
        SamecarError: an embedding has another size, is not finite or not of length one.
    """
    matrix = np.empty((len(additions), size), np.float16)
    for row, addition in enumerate(additions):
        name = addition.sighting.address or addition.sighting.content
        matrix[row] = _checked(np.asarray(addition.embedding)[None], size, f"the embedding of {name}")[0]
    return matrix


def checked_queries(queries: ArrayLike, size: int, top: int) -> NDArray[np.float32]:
    """Queries as engines search with them.

    Args:
        queries: (queries, size) of length one.
        size: numbers in an embedding of the gallery.
        top: how many results each is to have.

    Returns:
        (queries, size) contiguous.

    Raises:
        SamecarError: they have another size, are not finite or not of length one, or `top` is less than 1.
    """
    if top < 1:
        raise SamecarError(f"{top} results were asked for; ask for 1 or more")
    return _checked(np.asarray(queries), size, "a query")


def _checked(matrix: NDArray[np.float32], size: int, name: str) -> NDArray[np.float32]:
    if matrix.ndim != 2 or matrix.shape[1] != size:
        numbers = " × ".join(str(length) for length in matrix.shape[1:])
        raise SamecarError(f"{name} has {numbers or 'no'} numbers, the gallery's have {size}; embed with its own model")
    if not np.isfinite(matrix).all():
        raise SamecarError(f"{name} holds numbers that are not finite; look for what went wrong when it was embedded")
    lengths = np.linalg.norm(matrix.astype(np.float64), axis=1)
    if (abs(lengths - 1) > LENGTH_TOLERANCE).any():
        wrong = lengths[abs(lengths - 1).argmax()]
        raise SamecarError(f"{name} has length {wrong:.4g}; divide it by its length, as galleries hold length one")
    return np.ascontiguousarray(matrix, np.float32)
