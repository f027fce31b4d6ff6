"""Sets that cannot be scored are refused before any picture is embedded."""

import numpy as np
import pytest

from samecar.data import Manifest
from samecar.data.copies import name_pictures
from samecar.embedding.embeddings import Embeddings
from samecar.errors import SamecarError
from samecar.evaluation import default_protocol, find_protocol, score
from samecar.evaluation.test_sets import protocol_of, refuse_unscorable


def manifest(folder, rows):
    """A set whose pictures hold the given bytes."""
    for path, content, *_ in rows:
        (folder / path).write_bytes(content)
    names = ("path", "vehicle_id", "camera_id", "split", "track_id")
    return Manifest.from_rows(folder, [dict(zip(names, (path, *known), strict=False)) for path, _, *known in rows])


def embedded(rows):
    matrix = np.eye(len(rows), dtype=np.float32)
    return Embeddings(matrix, rows, pictures=name_pictures(rows))


@pytest.mark.parametrize("name", ["plain", "no-junk", "veri776", "veri776-track", "market"])
def test_queries_that_have_only_copies_of_themselves_are_refused(name, tmp_path):
    rows = [("a", b"first", "1", "c1", "query", "t1"), ("b", b"first", "1", "c2", "gallery", "t2")]
    given, protocol = manifest(tmp_path, rows), find_protocol(name)
    with pytest.raises(SamecarError, match=r"none of 1 queries of csv:.* has a match in the gallery"):
        refuse_unscorable(given, protocol)
    with pytest.raises(SamecarError, match="none of 1 queries has a match"):
        score(embedded(given).of_split("query"), embedded(given).of_split("gallery"), protocol)
    more = manifest(tmp_path, [*rows, ("c", b"second", "1", "c2", "gallery", "t3")])
    refuse_unscorable(more, protocol)
    sides = [embedded(more).of_split(split) for split in ("query", "gallery")]
    assert score(*sides, protocol).queries.matches.tolist() == [1]


def test_a_vehicle_needs_two_different_pictures_where_the_gallery_is_drawn(tmp_path):
    protocol = find_protocol("vehicleid")
    rows = [("a", b"first", "1", "", "gallery"), ("b", b"first", "1", "", "gallery"), ("c", b"one", "2", "", "gallery")]
    with pytest.raises(SamecarError, match=r"no test vehicle of csv:.* has two pictures"):
        refuse_unscorable(manifest(tmp_path, rows), protocol)
    refuse_unscorable(manifest(tmp_path, [*rows, ("d", b"two", "2", "", "gallery")]), protocol)
    nobody = [("e", b"1", "-1", "", "gallery"), ("f", b"2", "-1", "", "gallery")]
    with pytest.raises(SamecarError, match=r"no test vehicle of csv:.* has two pictures"):
        refuse_unscorable(manifest(tmp_path, nobody), protocol)


def test_a_set_whose_cameras_are_known_in_part_keeps_the_rules_of_its_source(tmp_path):
    rows = [("a", b"first", "1", "c1", "gallery"), ("b", b"second", "1", "", "gallery")]
    known = manifest(tmp_path, rows)
    assert protocol_of(known).name == default_protocol(known.source).name != "vehicleid"
    assert protocol_of(manifest(tmp_path, [(*row[:3], "", row[4]) for row in rows])).name == "vehicleid"


def test_files_of_embeddings_tell_copies(tmp_path):
    rows = [("a", b"first", "1", "c1", "query"), ("b", b"first", "1", "c2", "gallery")]
    given = embedded(manifest(tmp_path, rows))
    given.save(tmp_path / "copies.npz")
    read = Embeddings.load(tmp_path / "copies.npz")
    assert read.labels.picture.tolist() == [str(tmp_path / "a")] * 2
    single = given.select(np.array([0]))
    single.save(tmp_path / "single.npz")
    with np.load(tmp_path / "single.npz") as content:
        assert "picture" not in content
    assert Embeddings.load(tmp_path / "single.npz").labels.picture.tolist() == [str(tmp_path / "a")]


def test_a_set_without_tracks_is_refused_before_it_is_embedded(tmp_path):
    rows = [("a", b"first", "1", "c1", "query"), ("b", b"second", "1", "c2", "gallery")]
    with pytest.raises(SamecarError, match="'veri776-track' ranks tracks, and no gallery picture has a track_id"):
        refuse_unscorable(manifest(tmp_path, rows), find_protocol("veri776-track"))
