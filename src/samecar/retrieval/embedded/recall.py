"""How many of the nearest entries an approximate index finds."""

import numpy as np

from samecar.progress import Progress, silent
from samecar.retrieval.embedded.catalogue import Catalogue
from samecar.retrieval.embedded.following import FollowingIndex
from samecar.retrieval.records import EVERYTHING, IndexSettings

NEIGHBOURS = 10
"""Nearest entries that are looked for."""

QUERIES = 500
"""Stored embeddings that are the queries at most; the share that is found is then known to about 0.005."""

_ROUNDING = 1e-5  # an entry as near as the last of the nearest is as good


def measured_recall(
    catalogue: Catalogue, index: FollowingIndex, kind: str, progress: Progress = silent
) -> IndexSettings:
    """Searches with stored embeddings and compares what is found, but for themselves, with what exact search finds.

    Args:
        catalogue: what is stored.
        index: what is measured.
        kind: of the index.
        progress: is told how many embeddings were compared.
    """
    with catalogue.reading() as connection:
        numbers = [number for (number,) in connection.execute("SELECT id FROM embeddings")]
        if len(numbers) < 2:
            return IndexSettings(kind=kind)
        wanted = min(NEIGHBOURS, len(numbers) - 1)
        chosen = np.random.default_rng(0).choice(numbers, min(QUERIES, len(numbers)), replace=False)
        stored = catalogue.stored(connection, chosen.tolist())
        queries = np.stack(list(stored.values())).astype(np.float32)
        last = np.full((len(queries), wanted), -np.inf, np.float32)  # similarities of the nearest so far
        done = 0
        for ids, matrix in catalogue.added(connection, 0):
            similarities = queries @ matrix.astype(np.float32).T
            similarities[ids == np.array(list(stored))[:, None]] = -np.inf
            last = -np.partition(-np.hstack([last, similarities]), wanted - 1, axis=1)[:, :wanted]
            done += len(ids)
            progress("recall", done, len(numbers))
    found = 0
    rankings = index.search(kind, queries, NEIGHBOURS + 1, EVERYTHING)
    for own, ranking, least in zip(stored, rankings, last.min(axis=1), strict=True):
        near = [match for match in ranking if match.id != own and match.similarity >= least - _ROUNDING]
        found += len(near[:wanted])
    return IndexSettings(kind=kind, recall=found / (wanted * len(queries)), measured_on=len(queries))
