"""How answers, indexes and summaries of several servers become one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samecar.retrieval.records import CameraSummary, Entry, IndexSettings, LabelValue, Match, Sighting, Summary
from samecar.retrieval.spread.merging import (
    join_indexes,
    join_label_values,
    join_summaries,
    merge_entries,
    merge_matches,
)


@given(st.dictionaries(st.integers(1, 40), st.sampled_from([0.5, 0.25, 0.125])), st.integers(1, 20), st.data())
def test_the_most_similar_of_all_are_those_of_one_list(every, top, data):
    """Each server gives its own best; some entries lie on two."""
    parts = [{}, {}, {}]
    for number, similarity in every.items():
        for place in data.draw(st.sets(st.integers(0, 2), min_size=1, max_size=2)):
            parts[place][number] = similarity

    def best(matches):
        return [Match(*pair) for pair in sorted(matches.items(), key=lambda pair: (-pair[1], pair[0]))[:top]]

    assert merge_matches([best(part) for part in parts], top) == best(every)


def test_pages_follow_each_other_by_number():
    entries = {number: Entry(number, Sighting(f"{number}")) for number in range(1, 8)}
    pages = [[entries[1], entries[4], entries[6]], [entries[2], entries[4]], [entries[3]]]
    assert merge_entries(pages, 4) == [entries[1], entries[2], entries[3], entries[4]]
    assert merge_entries([], 4) == []


def hnsw(recall, pictures, measured_on=200):
    return IndexSettings(kind="hnsw", recall=recall, measured_on=measured_on, pictures=pictures)


def test_recall_is_the_mean_by_pictures():
    joined = join_indexes([hnsw(0.9, 100), hnsw(1.0, 300)])
    assert joined.recall == pytest.approx(0.975)
    assert (joined.kind, joined.measured_on, joined.pictures) == ("hnsw", 400, 400)


def test_recall_is_unknown_where_a_server_with_pictures_does_not_know_its_own():
    assert join_indexes([hnsw(0.9, 100), hnsw(None, 300, 0)]).recall is None
    assert join_indexes([hnsw(0.9, 100), hnsw(None, 1, 0)]).recall == pytest.approx(0.9)
    assert join_indexes([hnsw(None, 0, 0)] * 2) == hnsw(None, 0, 0)


def test_servers_that_are_searched_otherwise_have_no_recall_together():
    exact = IndexSettings()
    assert join_indexes([exact, hnsw(0.9, 100)]) == IndexSettings(kind="hnsw", pictures=100)
    assert join_indexes([exact, exact]) == exact
    assert join_indexes([]) == exact


def test_counts_are_those_of_all_without_what_lies_on_two_servers():
    one = Summary(3, 2, 2, (CameraSummary("a", 2, 1.0, 5.0), CameraSummary("b", 1, None, None)))
    other = Summary(3, 1, 1, (CameraSummary("a", 1, 0.0, 0.5), CameraSummary("c", 2, 7.0, 8.0)))
    twice = [(Entry(1, Sighting("x", camera_id="a")), 1)]
    assert join_summaries([(one, {"x", "y"}), (other, {"y"})], twice) == Summary(
        5, 2, 2, (CameraSummary("a", 2, 0.0, 5.0), CameraSummary("b", 1, None, None), CameraSummary("c", 2, 7.0, 8.0))
    )
    assert join_summaries([], []) == Summary(0, 0, 0, ())


def test_values_of_labels_are_counted_together_without_what_lies_on_two_servers():
    one = {"lane": [LabelValue("1", 3), LabelValue("2", 1)], "note": [], "type": [LabelValue("car", 1)]}
    other = {"lane": [LabelValue("2", 4)], "note": [LabelValue("x", 1)]}
    twice = [Entry(1, Sighting("x", labels={"lane": "2"})), Entry(2, Sighting("y"))]
    assert join_label_values([one, other], twice) == {
        "lane": [LabelValue("2", 4), LabelValue("1", 3)],
        "note": [],  # the first server has too many to list
        "type": [LabelValue("car", 1)],
    }
    halves = [{"lane": [LabelValue(f"{part}{lane}", 1) for lane in range(30)]} for part in "ab"]
    assert join_label_values(halves, []) == {"lane": []}  # each lists 30, together there are 60
    many = [{f"{part}{name:02d}": [LabelValue("1", 1)] for name in range(40)} for part in "ab"]
    assert list(join_label_values(many, [])) == [f"a{name:02d}" for name in range(40)] + [f"b0{n}" for n in range(10)]
    assert join_label_values([], []) == {}
