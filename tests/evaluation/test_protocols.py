"""Who is a match, junk or neither."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samecar.errors import SamecarError
from samecar.evaluation import PROTOCOLS, Relevance, default_protocol, find_protocol, with_junk
from samecar.labels import Labels

picture = st.tuples(st.sampled_from(["", "1", "2", "10", "a"]), st.sampled_from(["c1", "c2", "1", ""]))


def labels(pictures):
    vehicles, cameras = zip(*pictures, strict=True)
    return Labels(np.array(vehicles), np.array(cameras))


def naive_relevance(query, shown, junk):
    (vehicle, camera), (other_vehicle, other_camera) = query, shown
    if other_vehicle == "" or vehicle != other_vehicle:
        return -1
    if junk == "same vehicle and same camera" and camera == other_camera != "":
        return 0
    return 1


@given(st.lists(picture, min_size=1, max_size=6), st.lists(picture, min_size=1, max_size=9), st.data())
def test_relevance_equals_a_plain_loop(queries, gallery, data):
    protocol = data.draw(st.sampled_from(list(PROTOCOLS.values())))
    rows = slice(*sorted(data.draw(st.tuples(st.integers(0, 6), st.integers(0, 6)))))
    found = Relevance(labels(queries), labels(gallery), protocol)(rows)
    expected = [[naive_relevance(query, shown, protocol.junk) for shown in gallery] for query in queries[rows]]
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, np.array(expected).reshape(found.shape))


def test_unlabelled_gallery_pictures_are_distractors_even_to_unlabelled_queries():
    query, gallery = labels([("", "c1"), ("1", "c1")]), labels([("", "c1"), ("", "c2"), ("1", "c2")])
    found = Relevance(query, gallery, find_protocol("plain"))(slice(0, 2))
    assert found.tolist() == [[-1, -1, -1], [-1, -1, 1]]


def test_an_unknown_camera_is_no_camera_twice():
    query, gallery = labels([("1", ""), ("1", "c1")]), labels([("1", ""), ("1", "c1")])
    assert Relevance(query, gallery, find_protocol("plain"))(slice(0, 2)).tolist() == [[1, 1], [1, 0]]


def test_market_style_ids_without_a_vehicle_are_junk_or_distractors():
    query, gallery = labels([("7", "c1"), ("0000", "c1")]), labels([("-1", "c2"), ("0000", "c2"), ("7", "c2")])
    assert Relevance(query, gallery, find_protocol("market"))(slice(0, 2)).tolist() == [[0, -1, 1], [0, -1, -1]]


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("nobody", ["-1", "unknown"])
def test_a_query_that_is_called_minus_one_has_no_match(name, nobody):
    query, gallery = labels([(nobody, "c1")]), labels([(nobody, "c2"), (nobody, ""), ("7", "c2")])
    assert Relevance(query, gallery, find_protocol(name)).of(0)[0].tolist() == []


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_querys_own_picture_is_junk_under_every_protocol(name):
    paths = np.array(["a.jpg", "b.jpg", "c.jpg"])
    of_one = Labels(np.full(3, "7"), np.array(["", "c1", "c2"]), path=paths)
    found = Relevance(of_one, of_one, find_protocol(name))(slice(None))
    assert found.tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]


def test_the_junk_rule_may_be_chosen():
    protocol = find_protocol("veri_wild")
    assert with_junk(protocol, None) == with_junk(protocol, "same-camera") == protocol
    assert with_junk(protocol, "none").junk == "none"
    with pytest.raises(SamecarError, match="unknown junk rule 'all'; known are same-camera, none"):
        with_junk(protocol, "all")


def test_tracks_are_of_one_vehicle_and_one_camera():
    shown = Labels(
        np.array(["1", "1", "2", "1", "1", "1"]),
        np.array(["a", "a", "a", "b", "a", "a"]),
        track_id=np.array(["t", "t", "t", "t", "", ""]),
    )
    tracks, of_tracks = shown.tracks()
    assert len(of_tracks) == 5
    assert len(set(tracks.tolist())) == 5
    assert tracks[0] == tracks[1]
    assert (of_tracks.vehicle_id[tracks] == shown.vehicle_id).all()
    assert (of_tracks.camera_id[tracks] == shown.camera_id).all()


def test_labels_of_different_length_are_refused():
    with pytest.raises(SamecarError, match=r"camera_id has shape \(1,\); vehicle_id has \(2,\)"):
        Labels(np.array(["1", "2"]), np.array(["c"]))


def test_ids_of_different_length_are_not_cut():
    query, gallery = labels([("1", "c1")]), labels([("1000", "c2"), ("1", "c20")])
    assert Relevance(query, gallery, find_protocol("plain"))(slice(0, 1)).tolist() == [[-1, 1]]


def test_protocols_have_names():
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert find_protocol(name) is protocol
    with pytest.raises(SamecarError, match="unknown protocol 'veri'; known are plain, veri776, vehicleid"):
        find_protocol("veri")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("veri776:VeRi", "veri776"),
        ("vehicleid:somewhere", "vehicleid"),
        ("veri_wild:x", "veri_wild"),
        ("folder:veri776", "plain"),
        ("csv:cars.csv", "plain"),
        ("veri776", "veri776"),
        ("vehicleid_2400", "vehicleid"),
        ("veri_wild_medium:x", "veri_wild_medium"),
        ("veri_wild_large", "veri_wild_large"),
    ],
)
def test_a_source_is_scored_by_its_own_rules(source, name):
    assert default_protocol(source).name == name


def data_folder(name):
    folder = os.environ.get("SAMECAR_TEST_DATA")
    if not folder or not (Path(folder) / name).is_dir():
        pytest.skip(f"set SAMECAR_TEST_DATA to a folder that holds {name}")
    return Path(folder) / name


def names_as_labels(path):
    """Labels of names like 0002_c002_00030600_0.jpg."""
    return labels([tuple(name.split("_")[:2]) for name in path.read_text().split()])


@pytest.mark.real_data
def test_veri776_matches_and_junk_are_those_of_its_own_lists():
    folder = data_folder("veri776-lists")
    query, gallery = names_as_labels(folder / "name_query.txt"), names_as_labels(folder / "name_test.txt")
    assert (len(query), len(gallery)) == (1678, 11579)
    names = (folder / "name_test.txt").read_text().split()
    assert names == sorted(names)  # the lists count rows of the sorted gallery
    relevance = Relevance(query, gallery, find_protocol("veri776"))
    lists = [(folder / name).read_text().splitlines() for name in ("gt_index.txt", "jk_index.txt")]
    assert [len(lines) for lines in lists] == [1678, 1678]
    for row, (matches, junk) in enumerate(zip(*lists, strict=True)):
        (found,) = relevance(slice(row, row + 1))
        assert (np.flatnonzero(found == 1) + 1).tolist() == sorted(map(int, matches.split()))
        assert (np.flatnonzero(found == 0) + 1).tolist() == sorted(map(int, junk.split()))
