from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samecar.data import Manifest, hold_out_validation, open_source, split_by_identity
from samecar.errors import SamecarError


def manifest_of(seen, order=None):
    """One picture for each (vehicle, camera) of `seen`, which may repeat."""
    rows = [
        {"path": f"{number:03d}.jpg", "vehicle_id": vehicle, "camera_id": camera, "split": "train"}
        for number, (vehicle, camera) in enumerate(seen)
    ]
    return Manifest.from_rows(Path(), [rows[row] for row in order] if order else rows, warnings=("old",))


FLEET = [(f"v{vehicle:02d}", f"c{camera}") for vehicle in range(20) for camera in range(3) for _ in range(4)]


def test_held_out_vehicles_are_query_and_gallery_and_nothing_is_lost():
    before = manifest_of(FLEET)
    after = split_by_identity(before, 0.3, seed=1)
    train, query, gallery = (after.of_split(split) for split in ("train", "query", "gallery"))
    assert len(set(gallery.vehicle_id)) == 6
    assert not set(train.vehicle_id) & set(gallery.vehicle_id)
    assert set(train.path) | set(gallery.path) == set(before.path)
    assert set(query.path) <= set(gallery.path)
    pairs = query.rows(("vehicle_id", "camera_id"))
    assert len(pairs) == len(set(pairs)) == 18  # one query of each held-out vehicle and camera
    assert set(pairs) == set(gallery.rows(("vehicle_id", "camera_id")))
    assert after.warnings == ("old",)
    assert set(before.split) == {"train"}


@given(st.permutations(range(24)), st.integers(0, 5))
def test_the_rows_order_does_not_matter(order, seed):
    seen = [(f"v{number % 6}", f"c{number % 4}") for number in range(24)]
    one, two = split_by_identity(manifest_of(seen), 2, seed), split_by_identity(manifest_of(seen, order), 2, seed)
    assert one.digest == two.digest


def test_the_seed_matters():
    digests = {split_by_identity(manifest_of(FLEET), 5, seed).digest for seed in range(5)}
    assert len(digests) == 5
    held_out = [set(split_by_identity(manifest_of(FLEET), 5, seed).of_split("query").vehicle_id) for seed in range(40)]
    assert set.union(*held_out) == {vehicle for vehicle, _ in FLEET}


def test_query_cameras_part_queries_from_the_gallery():
    after = split_by_identity(manifest_of(FLEET), 4, query_cameras=("c1",))
    assert set(after.of_split("query").camera_id) == {"c1"}
    assert set(after.of_split("gallery").camera_id) == {"c0", "c2"}
    assert after.split_counts == {"train": 16 * 12, "query": 16, "gallery": 32}
    assert len(set(after.path)) == len(after)


def test_vehicles_that_cannot_be_matched_stay_in_train():
    seen = [*FLEET[:24], ("alone", "c0"), ("alone", "c0"), ("lone", "c9")]
    after = split_by_identity(manifest_of(seen), 3)
    assert {"alone", "lone"} <= set(after.of_split("train").vehicle_id)
    assert len(set(after.of_split("gallery").vehicle_id)) == 2
    assert after.warnings == (
        "old",
        "2 vehicles cannot be matched between cameras and stay in train",
        "1 vehicles fewer than asked for are held out, since no more can be matched",
    )


def test_without_cameras_held_out_pictures_are_the_gallery():
    after = split_by_identity(manifest_of([("a", ""), ("a", ""), ("b", ""), ("b", ""), ("c", "")]), 1)
    assert after.split_counts == {"train": 3, "query": 0, "gallery": 2}
    assert after.warnings[1:] == (
        "1 vehicles have one picture only and stay in train",
        "the set tells no cameras: all held-out pictures are gallery, from which queries are drawn",
    )


def test_validation_is_a_test_set_of_train_vehicles(painted_source):
    train = open_source(painted_source).of_split("train")
    fewer, validation = hold_out_validation(train, 0.25, seed=4)
    assert set(fewer.split) == {"train"}
    assert set(validation.split) == {"query", "gallery"}
    assert len(set(validation.vehicle_id)) == 2
    assert not set(fewer.vehicle_id) & set(validation.vehicle_id)
    assert set(fewer.path) | set(validation.path) == set(train.path)
    assert validation.source == "folder"
    assert validation.absolute_path(0).is_file()


@pytest.mark.parametrize(("share", "vehicles", "held_out"), [(0.5, 20, 10), (0.01, 20, 1), (0.33, 3, 1), (19, 20, 19)])
def test_shares_and_numbers(share, vehicles, held_out):
    seen = [(vehicle, camera) for vehicle, camera in FLEET if int(vehicle[1:]) < vehicles]
    assert len(set(split_by_identity(manifest_of(seen), share).of_split("query").vehicle_id)) == held_out


@pytest.mark.parametrize("held_out", [0, -1, 1.5, 20, 21, 0.99, float("nan"), float("inf")])
def test_impossible_numbers_are_refused(held_out):
    with pytest.raises(
        SamecarError, match=r"of 20 vehicles cannot be held out; give a share between 0 and 1 or a number"
    ):
        split_by_identity(manifest_of(FLEET), held_out)


@pytest.mark.parametrize(
    ("seen", "options", "sentence"),
    [
        ([("a", "c1"), ("b", "c2")], {}, "no vehicle can be held out: each is seen by one camera only"),
        ([("a", ""), ("b", "")], {}, "no vehicle can be held out"),
        (FLEET, {"query_cameras": ("c0", "c1", "c2")}, "no vehicle can be held out"),
        (FLEET, {"query_cameras": ("c7",)}, "query camera 'c7' took no picture; cameras are c0, c1, c2"),
        ([("", "c1"), ("b", "c2")], {}, "1 pictures have no vehicle_id: 000.jpg; label them first"),
        (FLEET, {"seed": -1}, "seed is -1; give a whole number, 0 or more"),
    ],
)
def test_what_cannot_be_split_is_refused(seen, options, sentence):
    with pytest.raises(SamecarError, match=sentence):
        split_by_identity(manifest_of(seen), 1, **options)


def test_a_set_that_is_split_is_not_split_again():
    after = split_by_identity(manifest_of(FLEET), 2)
    with pytest.raises(SamecarError, match="already has 6 query and 24 gallery pictures"):
        split_by_identity(after, 2)


def test_what_is_split_can_be_written_and_read(tmp_path):
    after = split_by_identity(manifest_of(FLEET), 2)
    after.write(tmp_path / "split.csv")
    again = Manifest.read(tmp_path / "split.csv")
    assert again.split_counts == after.split_counts
    np.testing.assert_array_equal(again.vehicle_id, after.vehicle_id)
