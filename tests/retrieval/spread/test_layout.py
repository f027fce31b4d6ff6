"""Which server a picture lies on, and which servers can answer a filter."""

import hashlib
from collections import Counter

import pytest
from engine_contract import CAMERAS, random_additions
from hypothesis import given
from hypothesis import strategies as st

from samecar.errors import SamecarError
from samecar.retrieval.records import Entry, Filter, Sighting, picture_content
from samecar.retrieval.spread.layout import DIGITS, Layout, first_free

SERVERS = {1: "host=one", 2: "host=two", 3: "host=three"}
CONTENTS = [picture_content(b"%d" % number) for number in range(3000)]


def homes(layout):
    return [layout.home(Sighting(content)) for content in CONTENTS]


def test_the_home_of_a_content_is_the_server_with_the_largest_digest():
    layout = Layout(servers=SERVERS)
    for content in CONTENTS[:200]:
        slot = hashlib.sha256(content.encode()).hexdigest()[:3]
        digests = {number: hashlib.sha256(f"{slot} {number}".encode()).hexdigest() for number in SERVERS}
        assert layout.home(Sighting(content)) == max(digests, key=digests.get)
    assert DIGITS == 3


def test_contents_keep_their_homes_for_ever():
    """These were worked out once; pictures lie there."""
    layout = Layout(servers=SERVERS)
    assert [layout.home(Sighting(content)) for content in ("a" * 64, "b" * 64, "0" * 64, "no digest")] == KEPT


KEPT = [2, 2, 1, 1]


def test_contents_are_shared_evenly_and_a_further_server_takes_from_all():
    three, four = Layout(servers=SERVERS), Layout(servers={**SERVERS, 4: "host=four"})
    assert all(0.9 < count / 1000 < 1.1 for count in Counter(homes(three)).values())
    changes = Counter((a, b) for a, b in zip(homes(three), homes(four), strict=True) if a != b)
    assert {new for _, new in changes} == {4}
    assert {old for old, _ in changes} == {1, 2, 3}
    assert 0.2 < sum(changes.values()) / 3000 < 0.3


def test_a_camera_lies_where_the_rule_says():
    layout = Layout(by="camera", servers=SERVERS, cameras={"gate": 2, "": 1}, others=3)
    assert [layout.home(Sighting("x", camera_id=name)) for name in ("gate", "", "yard")] == [2, 1, 3]
    strict = layout.change(others=None)
    with pytest.raises(SamecarError, match=r"no server was named for pictures of camera 'yard'.*gate"):
        strict.home(Sighting("x", camera_id="yard"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"by": "camera"}, "no camera was named"),
        ({"by": "camera", "cameras": {"gate": 4}}, "there is no server 4; the servers are 1, 2, 3"),
        ({"by": "camera", "others": 9}, "there is no server 9"),
        ({"by": "content", "cameras": {"gate": 1}}, "say --by camera"),
        ({"by": "content", "others": 1}, "say --by camera"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(values, said):
    with pytest.raises(SamecarError, match=said):
        Layout(servers=SERVERS).change(**values)


ADDITIONS = random_additions(60)
NAMES = st.lists(st.sampled_from([*CAMERAS, "elsewhere"]), max_size=3).map(tuple)


@given(NAMES, NAMES, st.dictionaries(st.sampled_from(CAMERAS), st.integers(1, 3)), st.integers(1, 3), st.booleans())
def test_no_server_that_can_answer_is_left_out(cameras, not_cameras, rule, others, settled):
    layout = Layout(by="camera", servers=SERVERS, cameras=rule, others=others, settled=settled)
    allowed = Filter(cameras=cameras, not_cameras=not_cameras)
    fitting = [one.sighting for one in ADDITIONS if allowed.allows(Entry(1, one.sighting))]
    asked = layout.can_answer(allowed)
    assert {layout.home(sighting) for sighting in fitting} <= set(asked)
    if not settled:
        assert asked == (1, 2, 3)


def test_servers_that_cannot_answer_are_not_asked():
    layout = Layout(by="camera", servers=SERVERS, cameras={"gate": 2, "yard": 1}, others=3)
    assert layout.can_answer(Filter(cameras=("gate",))) == (2,)
    assert layout.can_answer(Filter(cameras=("gate", "yard"), not_cameras=("gate",))) == (1,)
    assert layout.can_answer(Filter(not_cameras=("gate",))) == (1, 3)
    assert layout.can_answer(Filter(cameras=("elsewhere",))) == (3,)
    assert layout.change(others=None).can_answer(Filter(cameras=("elsewhere",))) == ()
    assert Layout(servers=SERVERS).can_answer(Filter(cameras=("gate",))) == (1, 2, 3)


def test_numbers_of_servers_are_used_up_in_the_end():
    assert first_free([1, 2, 4]) == 3
    with pytest.raises(SamecarError, match="999"):
        first_free(range(1, 1000))
