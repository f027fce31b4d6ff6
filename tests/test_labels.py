"""Who is on a picture, and which pictures are matches of each other, against plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samecar.labels import Labels, MatchFinder, find_labelled, find_placeholders, is_placeholder

picture = st.tuples(st.sampled_from(["", "-1", "a", "b"]), st.sampled_from(["", "1", "2"]), st.sampled_from("pqrs"))


def labels(pictures, tracks=None):
    columns = [np.array(column, np.str_) for column in zip(*pictures, strict=True)]
    track_id = np.array(tracks if tracks is not None else [""] * len(pictures))
    return Labels(columns[0], columns[1], track_id=track_id, path=columns[2])


@pytest.mark.parametrize("name", ["-1", "-001", "-0001", "-1.0", " -1 ", "−1", "unknown", "Unknown", "NaN", "N/A", "?"])
def test_a_word_for_nobody_is_no_vehicle(name):
    assert is_placeholder(name)


@pytest.mark.parametrize("name", ["", "0", "0000", "1", "-2", "-10", "-11", "1-1", "a-1", "unknown7", "1.0", "nano"])
def test_other_names_are_vehicles_or_nothing(name):
    assert not is_placeholder(name)


def test_columns_are_told_apart():
    vehicles = np.array(["", "-1", "7", "Unknown", "7"])
    assert find_placeholders(vehicles).tolist() == [False, True, False, True, False]
    assert find_labelled(vehicles).tolist() == [False, False, True, False, True]
    assert find_placeholders(np.array(["1", "2"])).tolist() == [False, False]
    assert Labels(vehicles, vehicles).labelled.tolist() == [False, False, True, False, True]


def test_a_picture_is_its_path_unless_it_is_named():
    path = np.array(["a.jpg", "b.jpg"])
    some = Labels(path, path, path=path)
    assert some.picture.tolist() == path.tolist()
    named = Labels(path, path, path=path, picture=np.array(["x", "x"]))
    both = Labels.concatenate([some, named.select(np.array([1]))])
    assert both.picture.tolist() == ["a.jpg", "b.jpg", "x"]
    assert Labels(path, path).picture.tolist() == ["", ""]


def naive(query, shown, same_camera_is_junk, ignored):
    (vehicle, camera, own), (other_vehicle, other_camera, other) = query, shown
    if other_vehicle in ignored:
        return "junk"
    if other_vehicle in ("", "-1") or vehicle != other_vehicle:
        return "other"
    if own == other or (same_camera_is_junk and camera == other_camera != ""):
        return "junk"
    return "match"


@given(
    st.lists(picture, min_size=1, max_size=5),
    st.lists(picture, min_size=1, max_size=12),
    st.booleans(),
    st.sampled_from([(), ("-1",), ("b",)]),
)
def test_matches_and_junk_equal_a_plain_loop(queries, gallery, same_camera_is_junk, ignored):
    finder = MatchFinder(labels(queries), labels(gallery), same_camera_is_junk=same_camera_is_junk, ignored=ignored)
    for row, query in enumerate(queries):
        kinds = [naive(query, shown, same_camera_is_junk, ignored) for shown in gallery]
        matches, junk = finder.of(row)
        assert sorted(matches.tolist()) == [place for place, kind in enumerate(kinds) if kind == "match"]
        assert sorted(junk.tolist()) == [place for place, kind in enumerate(kinds) if kind == "junk"]


def test_what_has_no_name_is_no_picture_of_its_own():
    nameless = Labels(np.array(["a", "a"]), np.array(["", ""]))
    assert MatchFinder(nameless, nameless).of(0)[0].tolist() == [0, 1]


def test_a_track_that_holds_the_querys_own_picture_is_junk():
    gallery = labels([("a", "", "p"), ("a", "", "q"), ("a", "", "r")], ["t", "t", "u"])
    tracks = gallery.tracks()
    matches, junk = MatchFinder(labels([("a", "", "q")]), gallery, tracks=tracks).of(0)
    assert tracks[1].track_id[matches].tolist() == ["u"]
    assert tracks[1].track_id[junk].tolist() == ["t"]
