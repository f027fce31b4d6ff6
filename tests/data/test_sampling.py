import os
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samecar.data import Draw, IdentityBatches, open_source
from samecar.data.sampling import BatchesPart
from samecar.errors import SamecarError


def vehicles(*counts):
    return np.array([f"v{vehicle:03d}" for vehicle, count in enumerate(counts) for _ in range(count)])


def batches_of(ids, size, per_vehicle, seed=1, epoch=0):
    batches = IdentityBatches(ids, size, per_vehicle, seed)
    batches.set_epoch(epoch)
    return list(batches)


counts = st.lists(st.integers(1, 23), min_size=3, max_size=12)


@given(counts, st.integers(1, 3), st.integers(1, 5), st.integers(0, 50))
def test_the_definition_holds(numbers, vehicles_per_batch, per_vehicle, epoch):
    ids = vehicles(*numbers)
    ids = ids[np.random.default_rng(epoch).permutation(len(ids))]
    epoch_batches = batches_of(ids, vehicles_per_batch * per_vehicle, per_vehicle, epoch=epoch)
    chunks = Counter({f"v{vehicle:03d}": max(1, number // per_vehicle) for vehicle, number in enumerate(numbers)})
    drawn = Counter()
    for batch in epoch_batches:
        names = Counter(ids[draw.row] for draw in batch)
        assert set(names.values()) == {per_vehicle}  # K pictures of each
        assert len(names) == vehicles_per_batch  # of N vehicles
        assert not drawn - chunks
        drawn.update(names.keys())
        for name in names:
            rows = [draw.row for draw in batch if ids[draw.row] == name]
            assert len(set(rows)) == min(per_vehicle, (ids == name).sum())  # repeated only where there are too few
    assert not drawn - chunks
    left = chunks - drawn
    assert len(left) < vehicles_per_batch  # the epoch ends no earlier
    rows = Counter(draw.row for batch in epoch_batches for draw in batch)
    often = {row for row, times in rows.items() if times > 1}
    assert all((ids == ids[row]).sum() < per_vehicle for row in often)  # no picture twice in an epoch


def test_every_vehicle_and_every_remainder_has_its_turn():
    ids = vehicles(*([7] * 6))
    rows = Counter(draw.row for epoch in range(60) for batch in batches_of(ids, 8, 4, epoch=epoch) for draw in batch)
    assert set(rows) == set(range(42))
    assert max(rows.values()) < 2 * min(rows.values())


def test_a_naive_sampler_makes_epochs_as_long():
    numbers = [3, 5, 8, 9, 14, 20, 31, 40, 55, 60] * 4
    random = Random(1)

    def naive():
        chunks = {vehicle: max(1, number // 4) for vehicle, number in enumerate(numbers)}
        length = 0
        while len(chunks) >= 8:
            for vehicle in random.sample(sorted(chunks), 8):
                chunks[vehicle] -= 1
                if not chunks[vehicle]:
                    del chunks[vehicle]
            length += 1
        return length

    ours = [len(batches_of(vehicles(*numbers), 32, 4, epoch=epoch)) for epoch in range(100)]
    assert np.mean(ours) == pytest.approx(np.mean([naive() for _ in range(100)]), abs=0.5)


def test_an_epoch_depends_on_seed_and_number_alone():
    ids = vehicles(9, 8, 7, 6)
    one = IdentityBatches(ids, 4, 2, seed=3)
    epochs = []
    for epoch in range(3):
        one.set_epoch(epoch)
        assert list(one) == list(one)
        assert len(one) == len(list(one))
        epochs.append(list(one))
    assert epochs[2] == batches_of(ids, 4, 2, seed=3, epoch=2)
    assert epochs[0] != epochs[1]
    assert epochs[0] != batches_of(ids, 4, 2, seed=4)


def test_every_draw_has_its_own_seed():
    draws = [draw for batch in batches_of(vehicles(1, 2, 30), 24, 8) for draw in batch]
    assert all(isinstance(draw, Draw) and 0 <= draw.seed < 2**63 for draw in draws)
    assert len({draw.seed for draw in draws}) == len(draws)
    assert len({draw.row for draw in draws}) == 1 + 2 + 8  # vehicles with one and two pictures repeat them
    other = [draw.seed for batch in batches_of(vehicles(1, 2, 30), 24, 8, epoch=1) for draw in batch]
    assert not {draw.seed for draw in draws} & set(other)


def test_the_ids_are_not_changed():
    ids = vehicles(4, 4)
    before = ids.copy()
    batches_of(ids, 4, 2)
    np.testing.assert_array_equal(ids, before)


@pytest.mark.parametrize(
    ("ids", "size", "per_vehicle", "seed", "sentence"),
    [
        (vehicles(4, 4), 12, 4, 1, "12 with 4 pictures of each vehicle needs 3 vehicles, but only 2 are there"),
        (vehicles(4, 4), 12, 4, 1, "lower batch.size to 8 or less"),
        (vehicles(4, 4), 6, 4, 1, "batch size 6 is not a multiple of 4 pictures of each vehicle; change batch.size or"),
        (vehicles(4, 4), 0, 4, 1, "batch size 0 is not a multiple"),
        (vehicles(4, 4), 4, 0, 1, "is not a multiple of 0"),
        (vehicles(4, 4), 4, 2, -1, "seed is -1; give a whole number, 0 or more"),
        (np.array(["a", "", ""]), 2, 2, 1, "2 training pictures have no vehicle_id; label them or leave them out"),
        (vehicles(), 4, 2, 1, "there are no pictures to train on; the train split is empty"),
    ],
)  # fmt: skip
def test_empty_epochs_are_errors(ids, size, per_vehicle, seed, sentence):
    with pytest.raises(SamecarError, match=sentence):
        IdentityBatches(ids, size, per_vehicle, seed)


@pytest.mark.real_data
def test_an_epoch_of_veri776_has_the_batches_of_the_report():
    folder = Path(os.environ["SAMECAR_TEST_DATA"]) / "veri776-lists"
    train = open_source(f"veri776:{folder}").of_split("train")
    batches = IdentityBatches(train.vehicle_id, 64, 4, seed=1)
    lengths = []
    for epoch in range(60):
        batches.set_epoch(epoch)
        lengths.append(len(batches))
    assert 563 <= np.mean(lengths) <= 567
    assert 560 <= min(lengths) <= max(lengths) <= 572


@given(vehicles=st.integers(1, 4), per_vehicle=st.integers(1, 3), parts=st.integers(2, 4), epoch=st.integers(0, 3))
def test_parts_one_behind_the_other_are_the_batch(vehicles, per_vehicle, parts, epoch):
    ids = np.array([f"v{number}" for number in range(4 * 4) for _ in range(5)])
    batches = IdentityBatches(ids, vehicles * parts * per_vehicle, per_vehicle, seed=3)
    if vehicles * per_vehicle == 1:
        with pytest.raises(SamecarError, match="equally, and batch normalisation needs two pictures at least"):
            BatchesPart(batches, 0, parts)
        return
    shared = [BatchesPart(batches, part, parts) for part in range(parts)]
    batches.set_epoch(epoch)
    assert {len(part) for part in shared} == {len(batches)}
    for whole, *pieces in zip(batches, *shared, strict=True):
        assert [len(piece) for piece in pieces] == [vehicles * per_vehicle] * parts
        assert [draw for piece in pieces for draw in piece] == whole
        owners = [{ids[draw.row] for draw in piece} for piece in pieces]
        assert sum(map(len, owners)) == vehicles * parts, "a vehicle is parted"


@pytest.mark.parametrize(
    ("per_vehicle", "parts", "sentence"),
    [
        (
            2,
            4,
            "4 processes cannot share a batch of 6 vehicles equally: .* take 1, 2, 3, 6 processes or change batch.size",
        ),
        (2, 7, "batch.size is 12 and batch.pictures_per_vehicle 2"),
        (1, 6, "needs two pictures at least: batch.size is 6 .* take 1, 2, 3 processes or change batch.size"),
    ],
)
def test_batches_that_cannot_be_parted_are_refused(per_vehicle, parts, sentence):
    batches = IdentityBatches(np.array(list("abcdef") * 2), 6 * per_vehicle, per_vehicle)
    with pytest.raises(SamecarError, match=sentence):
        BatchesPart(batches, 0, parts)
