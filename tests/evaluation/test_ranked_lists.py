"""Which queries a report shows."""

import numpy as np
import pytest

from samecar.embedding.embeddings import Embeddings
from samecar.evaluation import find_protocol, score
from samecar.evaluation.ranked_lists import typical_queries, worst_queries
from samecar.labels import Labels


@pytest.fixture(scope="module")
def evaluation():
    """Queries of seven vehicles at 0 with 3, 0, 6, 1, 5, 2 and 4 pictures of another one before their match.

    An eighth has no match.
    """
    ahead = (3, 0, 6, 1, 5, 2, 4)

    def side(vehicles, places):
        return Embeddings(np.array(places, float)[:, None], Labels(np.array(vehicles), np.full(len(vehicles), "")))

    gallery = [*[(f"v{count}", count + 0.5) for count in ahead], *[("other", float(place)) for place in range(1, 7)]]
    queries = side([*[f"v{count}" for count in ahead], "nobody"], [0] * 8)
    return score(queries, side(*zip(*gallery, strict=True)), find_protocol("plain"))


def test_the_worst_queries_come_worst_first(evaluation):
    assert worst_queries(evaluation, 3) == [2, 4, 6]
    assert worst_queries(evaluation, 100) == [2, 4, 6, 0, 5, 3, 1]


@pytest.mark.parametrize(("count", "rows"), [(1, [1]), (2, [1, 2]), (3, [1, 0, 2]), (100, [1, 3, 5, 0, 6, 4, 2])])
def test_typical_queries_are_spread_from_the_best_to_the_worst(evaluation, count, rows):
    assert typical_queries(evaluation, count) == rows
