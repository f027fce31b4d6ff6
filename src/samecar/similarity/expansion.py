"""What may be done to embeddings before they are ranked: query expansion and database-side augmentation.

Everything here looks at more of the test set than the one query that is asked, so it is off by default, and a number
obtained with it says so: `PostProcessing.describe` is the line for the protocol card.
"""

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.similarity.distances import find_distance
from samecar.similarity.neighbours import Pool, find_neighbours, nearest_in_pool
from samecar.similarity.products import (
    Distance,
    Matrix,
    check_embeddings,
    check_real_numbers,
    row_chunks,
    unit_length,
)


@dataclass(frozen=True)
class PostProcessing:
    """Something done after embedding, with its parameters, for the protocol card.

    Attributes:
        name: what it is called in the literature.
        transductive: it looks at more of the test set than the one query that is asked.
    """

    name: ClassVar[str]
    transductive: ClassVar[bool]

    def describe(self) -> str:
        """One line for the protocol card."""
        given = ", ".join(f"{field.name} {getattr(self, field.name):g}" for field in fields(self))
        seen = "looks at the whole test set" if self.transductive else "looks at one picture at a time"
        return f"{self.name} ({given}); {seen}" if given else f"{self.name}; {seen}"

    def _require_positive(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise SamecarError(f"{self.name} was given {name} {value!r}; give a whole number from 1")


@dataclass(frozen=True)
class AverageQueryExpansion(PostProcessing):
    """Parameters of `average_query_expansion`.

    Attributes:
        count: gallery pictures that are averaged with a query.

    Raises:
        SamecarError: count is not a whole number from 1.
    """

    name = "average query expansion"
    transductive = True

    count: int = 5

    def __post_init__(self) -> None:
        self._require_positive("count")


@dataclass(frozen=True)
class DatabaseAugmentation(PostProcessing):
    """Parameters of `database_augmentation`.

    Attributes:
        count: other gallery pictures that are averaged with each gallery picture.

    Raises:
        SamecarError: count is not a whole number from 1.
    """

    name = "database-side augmentation"
    transductive = True

    count: int = 5

    def __post_init__(self) -> None:
        self._require_positive("count")


def average_query_expansion(
    queries: Matrix,
    gallery: Matrix,
    count: int = AverageQueryExpansion.count,
    *,
    distance: Distance = "euclidean",
) -> Matrix:
    """Replaces each query by the mean of itself and its nearest gallery pictures.

    Average query expansion of Chum, Philbin, Sivic, Isard, Zisserman, 'Total recall', ICCV 2007, without its spatial
    verification. Transductive: a query is moved by the gallery that it is asked of.

    Args:
        queries: (queries, size); left as they are.
        gallery: (gallery, size); left as they are.
        count: how many gallery pictures; all of them, if the gallery is smaller. Among equal distances the lower row
            comes first.
        distance: decides who is near; 'cosine' first scales each embedding to length one, and the means, too.

    Returns:
        (queries, size) new queries, in float32, or float64 where the embeddings are wider than float32.

    Raises:
        SamecarError: as `k_reciprocal_distances`.
    """
    settings = AverageQueryExpansion(count)
    queries, gallery = prepare_embeddings(queries, gallery, distance)
    found = min(settings.count, len(gallery))
    everyone = np.arange(len(queries))
    neighbours, _ = nearest_in_pool(Pool((queries, gallery)), everyone, slice(len(queries), None), found)
    return _means(queries, gallery, neighbours - len(queries), distance)


def database_augmentation(
    gallery: Matrix, count: int = DatabaseAugmentation.count, *, distance: Distance = "euclidean"
) -> Matrix:
    """Replaces each gallery picture by the mean of itself and its nearest others.

    Database-side augmentation of Turcot and Lowe, 'Better matching with fewer features', ICCV workshops 2009, with
    neighbours in place of verified matches. Transductive: a picture is moved by the rest of the gallery.

    Args:
        gallery: (gallery, size); left as they are.
        count: how many others; all of them, if the gallery is smaller. Among equal distances the lower row comes
            first.
        distance: as in `average_query_expansion`.

    Returns:
        (gallery, size) the new gallery, of the type that `average_query_expansion` has.

    Raises:
        SamecarError: as `k_reciprocal_distances`.
    """
    settings = DatabaseAugmentation(count)
    nobody = np.empty((0, gallery.shape[1] if gallery.ndim == 2 else 0), np.float32)
    _, gallery = prepare_embeddings(nobody, gallery, distance)
    found = min(settings.count, len(gallery) - 1)
    if found == 0:
        return gallery.copy()
    neighbours, _ = find_neighbours(Pool((gallery,)), found, [found])
    return _means(gallery, gallery, neighbours, distance)


def prepare_embeddings(queries: Matrix, gallery: Matrix, distance: Distance) -> tuple[Matrix, Matrix]:
    """Checks embeddings and gives them in float32 or, where that would round them, in float64."""
    check_real_numbers(queries, gallery)
    check_embeddings(queries, gallery)
    if len(gallery) == 0:
        raise SamecarError("the gallery has no embedding; embed at least one gallery picture")
    precision = np.result_type(queries, gallery, np.float32)
    queries, gallery = queries.astype(precision, copy=False), gallery.astype(precision, copy=False)
    if find_distance(distance) == "cosine":
        return unit_length(queries), unit_length(gallery)
    return queries, gallery


def _means(pictures: Matrix, others: Matrix, neighbours: NDArray[np.int64], distance: Distance) -> Matrix:
    """The mean of each picture and its neighbours (pictures, count) among the others; (pictures, size)."""
    means = np.empty_like(pictures)
    for rows in row_chunks(len(pictures), others.shape[1] * neighbours.shape[1]):
        means[rows] = (pictures[rows] + others[neighbours[rows]].sum(axis=1)) / (neighbours.shape[1] + 1)
    return unit_length(means) if distance == "cosine" else means
