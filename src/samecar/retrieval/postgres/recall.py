"""How many of the nearest an HNSW index finds, measured on stored embeddings."""

from collections.abc import Mapping
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from samecar.progress import Progress
from samecar.retrieval.postgres.connections import Cursor
from samecar.retrieval.postgres.searching import search_by_index, search_every_entry
from samecar.retrieval.postgres.tables import Tables
from samecar.retrieval.records import Match

MEASURED_ON: Final = 200
"""Stored embeddings whose neighbours are looked up: a standard error below 1 %."""

NEAREST: Final = 10
"""Neighbours that recall is measured on."""

PORTION: Final = 20  # queries between two notes of progress


Sample = Mapping[int, NDArray[np.float32]]
"""Stored embeddings, (size,), by the numbers of their entries."""


class Search(Protocol):
    """Finds the most similar entries of each query, by the index or by looking at every entry."""

    def __call__(self, queries: NDArray[np.float32], top: int, *, by_index: bool) -> list[list[Match]]:
        """Queries are (queries, size)."""
        ...


def draw_sample(cursor: Cursor, tables: Tables, count: int) -> Sample:
    """So many of a gallery's embeddings by chance, or all where there are no more."""
    statement = tables.statement("SELECT id, embedding FROM {entries} ORDER BY random() LIMIT %s")
    return {number: embedding.to_numpy().astype(np.float32) for number, embedding in cursor.execute(statement, [count])}


def search_in_one_way(
    cursor: Cursor, tables: Tables, queries: NDArray[np.float32], top: int, *, by_index: bool
) -> list[list[Match]]:
    """Searches by the index, also where looking at every entry would be quicker, or without it."""
    if not by_index:
        return search_every_entry(cursor, tables, queries, top)
    cursor.execute("SET LOCAL enable_seqscan = off")
    return search_by_index(cursor, tables, queries, top)


def measure_recall(sample: Sample, search: Search, progress: Progress) -> float | None:
    """Share of the nearest of stored embeddings, but for themselves, that the index finds.

    Returns:
        The share; None where there are no two entries.
    """
    found = nearest = 0
    for first in range(0, len(sample), PORTION):
        progress("recall", first, len(sample))
        portion = list(sample)[first : first + PORTION]
        queries = np.stack([sample[number] for number in portion])
        exact = search(queries, NEAREST + 1, by_index=False)
        given = search(queries, NEAREST + 1, by_index=True)
        for own, right, ranking in zip(portion, exact, given, strict=True):
            similarities = [match.similarity for match in right if match.id != own][:NEAREST]
            nearest += len(similarities)
            least = min(similarities, default=0)  # there are none where others have removed them meanwhile
            near = [match for match in ranking if match.id != own and match.similarity >= least]
            found += len(near[: len(similarities)])  # eleven are asked for, and the query itself need not be among them
    progress("recall", len(sample), len(sample))
    return found / nearest if nearest else None
