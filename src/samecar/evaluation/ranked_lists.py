"""Ranked lists of single queries, to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samecar.embedding.embeddings import Embeddings
from samecar.evaluation.protocols import JUNK, MATCH, Protocol, Relevance
from samecar.evaluation.results import Evaluation
from samecar.similarity.distances import nearest
from samecar.similarity.products import Distance


@dataclass(frozen=True)
class RankedPicture:
    """One gallery picture in a ranked list.

    Attributes:
        path: the picture's file.
        vehicle_id: who it shows; empty if nobody knows.
        camera_id: which camera took it.
        distance: from the query's embedding.
        correct: whether it is a match of the query.
    """

    path: Path
    vehicle_id: str
    camera_id: str
    distance: float
    correct: bool


@dataclass(frozen=True)
class RankedQuery:
    """A query and the head of its ranking.

    Attributes:
        path: the query picture's file.
        vehicle_id: who it shows.
        camera_id: which camera took it.
        average_precision: of its whole ranking, from 0 to 1.
        first_match: rank of the first match, from 1.
        results: the nearest gallery pictures, nearest first, junk taken out.
    """

    path: Path
    vehicle_id: str
    camera_id: str
    average_precision: float
    first_match: int
    results: tuple[RankedPicture, ...]


def ranked_queries(
    query: Embeddings,
    gallery: Embeddings,
    evaluation: Evaluation,
    protocol: Protocol,
    rows: Sequence[int],
    *,
    count: int = 10,
    distance: Distance = "euclidean",
) -> list[RankedQuery]:
    """Ranks the gallery for some queries, junk taken out.

    Args:
        query: all queries of the evaluation.
        gallery: its gallery.
        evaluation: the scores of these queries.
        protocol: says what is junk.
        rows: the queries to rank, as rows of `query`.
        count: how many pictures to list.
        distance: between embeddings.
    """
    chosen = np.asarray(rows, dtype=np.int64)
    relevance = Relevance(query.labels.select(chosen), gallery.labels, protocol)
    ranking = nearest(
        query.matrix[chosen],
        gallery.matrix,
        len(gallery),
        distance=distance,
        excluded=lambda chunk: relevance(chunk) == JUNK,
    )
    result = []
    for place, row in enumerate(chosen):
        found = ranking.indices[place][np.isfinite(ranking.distances[place])]
        matches = relevance(slice(place, place + 1))[0, found] == MATCH
        result.append(
            RankedQuery(
                path=query.manifest.absolute_path(int(row)),
                vehicle_id=str(query.manifest.vehicle_id[row]),
                camera_id=str(query.manifest.camera_id[row]),
                average_precision=float(evaluation.average_precisions[row]),
                first_match=int(np.flatnonzero(matches)[0]) + 1,
                results=tuple(
                    RankedPicture(
                        path=gallery.manifest.absolute_path(int(other)),
                        vehicle_id=str(gallery.manifest.vehicle_id[other]),
                        camera_id=str(gallery.manifest.camera_id[other]),
                        distance=float(ranking.distances[place, rank]),
                        correct=bool(matches[rank]),
                    )
                    for rank, other in enumerate(found[:count])
                ),
            )
        )
    return result


def typical_queries(evaluation: Evaluation, count: int) -> list[int]:
    """Rows of scored queries spread evenly from the best to the worst average precision."""
    order = _by_precision(evaluation)[::-1]
    return [int(row) for row in order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]]


def worst_queries(evaluation: Evaluation, count: int) -> list[int]:
    """Rows of the scored queries with the lowest average precision, worst first."""
    return [int(row) for row in _by_precision(evaluation)[:count]]


def _by_precision(evaluation: Evaluation) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    scored = np.flatnonzero(np.isfinite(evaluation.average_precisions))
    return scored[np.argsort(evaluation.average_precisions[scored], kind="stable")]
