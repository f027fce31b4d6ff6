import numpy as np
import pytest

from samecar.progress import silent
from samecar.retrieval.postgres.recall import measure_recall
from samecar.retrieval.records import Match


def ranking(*ids):
    """Matches of these entries, the smaller the number the more similar."""
    return [Match(number, 1 - number / 100) for number in ids]


def measured(ids, right, found):
    def search(queries, top, *, by_index):
        return [(found if by_index else right)[:top] for _ in queries]

    return measure_recall(dict.fromkeys(ids, np.zeros(4, np.float32)), search, silent)


@pytest.mark.parametrize(
    ("found", "recall"),
    [
        (range(1, 12), 1.0),
        ([1, 3, 4, 5, 6, 7, 8, 9, 10, 11], 0.9),  # of ten others, one is missed
        ([2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 1.0),  # the query itself need not be found
        ([1, 2, 3, 50, 51, 52, 53, 54, 55, 56, 57], 0.2),
        ([], 0.0),
    ],
)
def test_recall_is_the_share_of_the_ten_nearest_others(found, recall):
    assert measured([1], ranking(*range(1, 12)), ranking(*found)) == pytest.approx(recall)


def test_what_is_as_near_as_the_last_counts():
    right = [Match(number, 1.0) for number in range(1, 12)]
    assert measured([1], right, [Match(number, 1.0) for number in range(20, 31)]) == 1.0


def test_there_is_no_recall_without_two_entries():
    assert measured([], [], []) is None
    assert measured([1], ranking(1), ranking(1)) is None
    assert measured([1, 2], [], []) is None  # others have removed all meanwhile


def test_each_of_several_portions_counts():
    assert measured(range(1, 46), ranking(*range(50, 60)), ranking(*range(50, 55))) == 0.5
