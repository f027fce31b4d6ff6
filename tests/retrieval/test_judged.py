import pytest
from hypothesis import given
from hypothesis import strategies as st

from samecar.retrieval.judged import join_pairs

pytestmark = pytest.mark.light


def test_same_is_passed_on_and_takes_the_known_name():
    pairs = [("a", "b", True), ("b", "c", True), ("d", "e", True), ("a", "d", False)]
    vehicles, contradictions = join_pairs(pairs, {"c": "car 7", "e": ""})
    assert vehicles == {"a": "car 7", "b": "car 7", "c": "car 7", "d": "judged-d", "e": "judged-d"}
    assert contradictions == []


def test_a_picture_that_is_only_called_different_has_no_vehicle():
    assert join_pairs([("a", "b", False)], {"b": "car 7"}) == ({"a": "", "b": "car 7"}, [])


def test_nothing_judged_is_nothing():
    assert join_pairs([], {}) == ({}, [])


def test_two_known_vehicles_cannot_be_the_same():
    vehicles, (sentence,) = join_pairs([("a", "b", True), ("b", "c", True)], {"a": "car 1", "c": "car 2"})
    assert vehicles == {"a": "car 1", "b": "", "c": "car 2"}
    assert sentence == (
        "3 pictures are judged the same vehicle, but they are known as different vehicles (car 1, car 2); "
        "withdraw a judgement"
    )


def test_different_within_the_same_is_a_contradiction():
    vehicles, (sentence,) = join_pairs([("a", "b", True), ("b", "c", True), ("a", "c", False)], {})
    assert set(vehicles.values()) == {""}
    assert "a and c are judged not the same" in sentence


def test_known_vehicles_that_are_called_different_are_a_contradiction():
    vehicles, contradictions = join_pairs([("a", "b", False)], {"a": "car 1", "b": "car 1"})
    assert vehicles == {"a": "car 1", "b": "car 1"}
    assert len(contradictions) == 1


CONTENTS = st.sampled_from("abcdefgh")


@given(
    st.lists(st.tuples(CONTENTS, CONTENTS, st.booleans()).filter(lambda pair: pair[0] != pair[1]), max_size=12),
    st.dictionaries(CONTENTS, st.sampled_from(["", "car 1", "car 2"]), max_size=4),
)
def test_vehicles_are_those_of_a_naive_flood(pairs, names):
    vehicles, contradictions = join_pairs(pairs, names)
    contents = {content for first, second, _ in pairs for content in (first, second)}
    assert set(vehicles) == contents

    def alike(first, second):
        named = names.get(first, "") and names.get(first, "") == names.get(second, "")
        return named or (first, second, True) in pairs or (second, first, True) in pairs

    groups = []
    for content in contents:
        group, growing = {content}, True
        while growing:
            grown = group | {other for other in contents if any(alike(member, other) for member in group)}
            growing, group = grown != group, grown
        groups.append(group)
    wrong = {
        frozenset(group)
        for group in groups
        if len({names.get(member, "") for member in group} - {""}) > 1
        or any({first, second} <= group for first, second, same in pairs if not same)
    }
    assert len(contradictions) == len(wrong)
    for content, group in zip(contents, groups, strict=True):
        known = {names.get(member, "") for member in group} - {""}
        if frozenset(group) in wrong:
            assert vehicles[content] == names.get(content, "")
        elif known:
            assert {vehicles[content]} == known
        elif len(group) == 1:
            assert vehicles[content] == ""
        else:
            assert vehicles[content] == f"judged-{min(group)}"
