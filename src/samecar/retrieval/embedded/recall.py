"""How many of the nearest entries an approximate index finds."""

import sqlite3
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from samecar.progress import Progress, silent
from samecar.retrieval.embedded.catalogue import Catalogue
from samecar.retrieval.records import IndexSettings, Match

NEIGHBOURS = 10
"""Nearest entries that are looked for."""

QUERIES = 500
"""Stored embeddings that are the queries at most; the share that is found is then known to about 0.005."""

_ROUNDING = 1e-5  # an entry as near as the last of the nearest is as good


def measured_recall(
    catalogue: Catalogue,
    connection: sqlite3.Connection,
    kind: str,
    search: Callable[[NDArray[np.float32], int], list[list[Match]]],
    progress: Progress = silent,
) -> IndexSettings:
    """Searches with stored embeddings and compares what is found, but for themselves, with what exact search finds.

    Args:
        catalogue: what is stored.
        connection: to it.
        kind: of the index that is measured.
        search: searches it, with (queries, size) and how many are wanted for each.
        progress: is told how many embeddings were compared.
    """
    numbers = [number for (number,) in connection.execute("SELECT id FROM embeddings")]
    wanted = min(NEIGHBOURS, len(numbers) - 1)
    if wanted < 1:
        return IndexSettings(kind=kind, pictures=len(numbers))
    chosen = np.random.default_rng(0).choice(numbers, min(QUERIES, len(numbers)), replace=False)
    stored = catalogue.stored(connection, chosen.tolist())
    queries = np.stack(list(stored.values())).astype(np.float32)
    own = np.array(list(stored))
    nearest = np.full((len(queries), wanted), -np.inf, np.float32)  # similarities of the nearest so far
    done = 0
    for ids, matrix in catalogue.added(connection, 0):
        similarities = queries @ matrix.astype(np.float32).T
        similarities[own[:, None] == ids] = -np.inf
        nearest = -np.partition(-np.hstack([nearest, similarities]), wanted - 1, axis=1)[:, :wanted]
        done += len(ids)
        progress("recall", done, len(numbers))
    found = 0
    for number, ranking, least in zip(own, search(queries, wanted + 1), nearest.min(axis=1), strict=True):
        near = [match for match in ranking if match.id != number and match.similarity >= least - _ROUNDING]
        found += len(near[:wanted])
    recall = found / (wanted * len(queries))
    return IndexSettings(kind=kind, recall=recall, measured_on=len(queries), pictures=len(numbers))
