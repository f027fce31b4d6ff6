"""Batches whose vehicles are seen by several cameras."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samecar.config import BatchSettings, Recipe, load_recipe
from samecar.data import IdentityBatches, open_source, plan_batches
from samecar.data.sampling import deal_over_cameras
from samecar.errors import SamecarError
from samecar.experiment.train import train


def known(cameras):
    return set(cameras) - {""}


seen_by = st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=1, max_size=20)


@given(st.lists(seen_by, min_size=2, max_size=6), st.integers(2, 5), st.integers(0, 30))
def test_every_vehicle_of_a_batch_is_seen_by_two_cameras_where_it_can_be(of_vehicles, size, epoch):
    ids = np.array([f"v{number}" for number, cameras in enumerate(of_vehicles) for _ in cameras])
    cameras = np.array([camera for cameras in of_vehicles for camera in cameras])
    if not known(cameras):
        return
    plain, aware = (IdentityBatches(ids, 2 * size, size, 1, given) for given in (None, cameras))
    for plan in (plain, aware):
        plan.set_epoch(epoch)
    assert len(plain) == len(aware)
    for batch in aware:
        rows = np.array([draw.row for draw in batch])
        vehicles = Counter(ids[rows])
        assert set(vehicles.values()) == {size}
        for vehicle in vehicles:
            mine = cameras[rows[ids[rows] == vehicle]]
            assert len(known(mine)) >= 2 or len(known(cameras[ids == vehicle])) < 2


@given(seen_by, st.integers(2, 6), st.integers(0, 99))
def test_chunks_have_as_many_cameras_as_they_can(cameras, size, seed):
    cameras = np.array(cameras)
    order = np.random.default_rng(seed).permutation(len(cameras))
    chunks = deal_over_cameras(order + 100, cameras[order], size) - 100
    count = max(1, len(cameras) // size)
    assert chunks.shape == (count, size)
    assert set(chunks.flat) <= set(range(len(cameras)))
    if len(cameras) < size:
        assert set(chunks[0]) == set(range(len(cameras)))  # all there are, again and again
        return
    # A camera of m pictures can be in m chunks at most, a chunk can hold `size` cameras at most.
    most = min(sum(min(number, count) for number in Counter(cameras.tolist()).values()), count * size)
    reached = sum(len(set(cameras[chunk])) for chunk in chunks)
    times = Counter(chunks.flat)
    if max(times.values()) == 1:
        assert reached == most or len(known(cameras)) >= 2  # an unknown one may have given way to a known one
        assert reached >= most - count
    else:  # somebody had to be repeated so that each chunk has two; an unknown one may have taken a place before
        two_each = sum(min(number, count) for number in Counter(cameras.tolist()).values()) >= 2 * count
        assert "" in cameras or not two_each


@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=2, max_size=20), st.integers(2, 6), st.integers(0, 99))
def test_pictures_are_repeated_only_where_cameras_are_too_few(cameras, size, seed):
    """With all cameras known: exactly the best that can be had, and no repeats where every chunk can have two."""
    cameras = np.array(cameras)
    if len(cameras) < size:
        return
    order = np.random.default_rng(seed).permutation(len(cameras))
    chunks = deal_over_cameras(order, cameras[order], size)
    numbers, count = Counter(cameras.tolist()), len(chunks)
    others = len(cameras) - max(numbers.values())  # pictures that are not of the camera with the most
    most = min(sum(min(number, count) for number in numbers.values()), count * size)
    reached = sum(len(set(cameras[chunk])) for chunk in chunks)
    if others >= count or len(numbers) == 1:
        assert reached == most
        assert max(Counter(chunks.flat).values()) == 1
    else:  # a chunk without one of the others took one that is elsewhere too
        assert reached == 2 * count
        assert sum(times - 1 for times in Counter(chunks.flat).values()) <= count - others


def test_cameras_take_turns_where_a_vehicle_has_few_pictures():
    chunk = deal_over_cameras(np.arange(3), np.array(["a", "a", "b"]), 8)
    cameras = ["b" if row == 2 else "a" for row in chunk[0]]
    assert cameras[:2] in (["a", "b"], ["b", "a"])
    assert Counter(chunk[0].tolist()) == {0: 3, 1: 2, 2: 3}


def test_two_pictures_of_three_hundred_and_one_other():
    """The only picture by another camera is in each of the chunks, the others are each in one at most."""
    cameras = np.array(["a"] * 300 + ["b"])
    chunks = deal_over_cameras(np.arange(301), cameras, 2)
    assert chunks.shape == (150, 2)
    times = Counter(chunks.flat)
    assert times.pop(300) == 150
    assert set(times.values()) == {1}


def test_every_picture_has_its_turn():
    cameras = np.array(["a"] * 5 + ["b"] * 4 + ["c"] * 2)
    rows = Counter()
    for epoch in range(80):
        batches = IdentityBatches(np.array(["v"] * 11 + ["w"] * 11), 8, 4, 1, np.concatenate([cameras, cameras]))
        batches.set_epoch(epoch)
        rows.update(draw.row for batch in batches for draw in batch)
    assert set(rows) == set(range(22))
    assert max(rows.values()) < 2 * min(rows.values())


def test_epochs_are_as_long_and_depend_on_seed_and_number_alone():
    ids = np.repeat([f"v{number}" for number in range(9)], 7)
    cameras = np.array([f"c{number % 3}" for number in range(63)])
    aware, plain = IdentityBatches(ids, 6, 3, 2, cameras), IdentityBatches(ids, 6, 3, 2)
    epochs = []
    for epoch in range(3):
        for plan in (aware, plain):
            plan.set_epoch(epoch)
        assert len(aware) == len(plain)
        assert list(aware) == list(aware)
        epochs.append(list(aware))
    fresh = IdentityBatches(ids, 6, 3, 2, cameras)
    fresh.set_epoch(2)
    assert list(fresh) == epochs[2]
    assert epochs[0] != epochs[1]
    for batch in epochs[0]:
        for three in (batch[:3], batch[3:]):
            assert {cameras[draw.row] for draw in three} == {"c0", "c1", "c2"}


def test_a_recipe_asks_for_them(painted_source):
    training = open_source(painted_source).of_split("train")
    settings = BatchSettings(size=8, pictures_per_vehicle=2, camera_aware=True)
    for batch in plan_batches(training, settings, 1):
        pairs = np.array([draw.row for draw in batch]).reshape(4, 2)
        assert (training.camera_id[pairs[:, 0]] != training.camera_id[pairs[:, 1]]).all()
    plain = settings.model_copy(update={"camera_aware": False})
    before = IdentityBatches(training.vehicle_id, 8, 2, 1)
    assert list(plan_batches(training, plain, 1)) == list(before)
    assert Recipe(batch=plain).digest != Recipe(batch=settings).digest


def test_sets_without_cameras_are_refused(painted_source, tmp_path):
    training = open_source(painted_source).of_split("train")
    training = replace(training, camera_id=np.full(len(training), ""))
    with pytest.raises(SamecarError, match="camera_aware is true but no training picture has a camera_id; give a sour"):
        train(load_recipe("report-baseline", ["batch.camera_aware=true"]), training, tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()
    with pytest.raises(SamecarError, match="camera_aware is true but pictures_per_vehicle is 1, and one picture"):
        load_recipe("report-baseline", ["batch.camera_aware=true", "batch.pictures_per_vehicle=1"])
