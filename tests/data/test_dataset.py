from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import paint_picture

from samecar.config import AugmentationSettings
from samecar.data import (
    Delivery,
    Draw,
    Failure,
    FailureLog,
    IdentityBatches,
    Manifest,
    PictureDataset,
    Sample,
    UnreadablePictureError,
    class_numbers,
    evaluation_loader,
    evaluation_transform,
    known_numbers,
    open_source,
    training_loader,
    training_transform,
)
from samecar.data.changes import Resize
from samecar.data.pictures import read_picture
from samecar.data.transforms import PictureTransform, Prepared
from samecar.errors import SamecarError
from samecar.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(16, 24, mean=(0.5, 0.5, 0.5), deviation=(0.25, 0.25, 0.25))
EVALUATION = evaluation_transform(PREPROCESSING)
TRAINING = training_transform(PREPROCESSING, AugmentationSettings(jitter=True, pca_colour=0.5, erasing=0.5))


@pytest.fixture
def train(painted_source):
    return open_source(painted_source).of_split("train")


@pytest.fixture
def damaged(tmp_path):
    """Six vehicles with two pictures each, of which the first is empty."""
    for vehicle in range(6):
        for index in range(2):
            paint_picture(tmp_path / f"v{vehicle}_c{index}.png", vehicle, index, 0)
    (tmp_path / "v0_c0.png").write_bytes(b"")
    return open_source(f"folder:{tmp_path}/{{vehicle_id}}_{{camera_id}}.png")


def finished(dataset, draw):
    """A picture as the model takes it."""
    return Delivery().collate([dataset[draw]], dataset.transform).pictures[0]


def test_class_numbers_follow_sorted_names():
    assert class_numbers(np.array(["b", "a", "c", "a"])).tolist() == [1, 0, 2, 0]


def test_only_known_names_have_numbers():
    cameras = np.array(["c2", "", "c1", "c2"])
    assert known_numbers(cameras).tolist() == [1, -1, 0, 1]
    assert known_numbers(np.array(["c3", "c2", "", "c0"]), cameras).tolist() == [-1, 1, -1, -1]
    assert known_numbers(np.array(["", ""])).tolist() == [-1, -1]
    assert known_numbers(np.array([], dtype=str), cameras).tolist() == []
    assert known_numbers(cameras).dtype == np.int64


def test_training_batches_know_cameras_and_views(train):
    views = np.array([("", "rear", "front")[row % 3] for row in range(len(train))])
    train = replace(train, view=views)
    batches = IdentityBatches(train.vehicle_id, 8, 2)
    for batch in training_loader(train, class_numbers(train.vehicle_id), TRAINING, batches):
        assert batch.cameras.dtype == batch.views.dtype == torch.int64
        assert batch.cameras.tolist() == [int(train.camera_id[row].removeprefix("c")) for row in batch.rows]
        assert batch.views.tolist() == [{"": -1, "front": 0, "rear": 1}[views[row]] for row in batch.rows]


def test_a_draw_decides_its_picture_alone(train):
    dataset = PictureDataset(train, TRAINING, class_numbers(train.vehicle_id))
    draws = [Draw(row, seed) for seed in (5, 6) for row in (0, 7)]
    forward = [finished(dataset, draw) for draw in draws]
    torch.manual_seed(99)
    backward = [finished(dataset, draw) for draw in draws[::-1]][::-1]
    assert all(torch.equal(one, two) for one, two in zip(forward, backward, strict=True))
    assert not torch.equal(forward[0], forward[2])
    assert dataset[Draw(7, 1)].label == class_numbers(train.vehicle_id)[7]


def test_the_global_generator_is_left_alone(train):
    dataset = PictureDataset(train, TRAINING)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    _ = dataset[Draw(0, 2**63 - 1)]
    assert torch.equal(torch.get_rng_state(), state)
    batches = IdentityBatches(train.vehicle_id, 8, 4)
    list(training_loader(train, class_numbers(train.vehicle_id), TRAINING, batches))
    list(evaluation_loader(train, PREPROCESSING, 8))
    assert torch.equal(torch.get_rng_state(), state)


def test_training_batches_hold_what_was_planned(train):
    labels = class_numbers(train.vehicle_id)
    batches = IdentityBatches(train.vehicle_id, 8, 2)
    loader = training_loader(train, labels, TRAINING, batches)
    batches.set_epoch(3)
    given = list(loader)
    assert len(loader) == len(given) == len(batches)
    for batch, plan in zip(given, batches, strict=True):
        assert batch.pictures.shape == (8, 3, 16, 24)
        assert batch.pictures.dtype == torch.float32
        assert batch.labels.dtype == torch.int64
        assert batch.rows.tolist() == [draw.row for draw in plan]
        assert batch.labels.tolist() == labels[[draw.row for draw in plan]].tolist()
        assert batch.failures == ()


def test_threads_change_nothing_and_follow_the_epoch(train):
    labels = class_numbers(train.vehicle_id)
    batches = [IdentityBatches(train.vehicle_id, 8, 2) for _ in range(2)]
    loaders = [training_loader(train, labels, TRAINING, batches[workers], workers=2 * workers) for workers in range(2)]
    for epoch in range(2):
        for plan in batches:
            plan.set_epoch(epoch)
        here, there = (list(loader) for loader in loaders)
        assert all(torch.equal(one.pictures, two.pictures) for one, two in zip(here, there, strict=True))
    evaluated = [torch.cat(list(evaluation_loader(train, PREPROCESSING, 7, workers))) for workers in (0, 2)]
    assert torch.equal(*evaluated)


def test_evaluation_gives_all_pictures_in_order(train):
    loader = evaluation_loader(train, PREPROCESSING, batch_size=7)
    pictures = list(loader)
    assert [len(batch) for batch in pictures] == [7] * 6 + [6]
    assert len(loader) == 7
    single = torch.stack([finished(PictureDataset(train, EVALUATION), row) for row in range(len(train))])
    assert torch.equal(torch.cat(pictures), single)


@pytest.mark.parametrize("workers", [0, 1])
def test_evaluation_stops_at_an_unreadable_picture(damaged, workers):
    with pytest.raises(UnreadablePictureError, match=r"picture .*v0_c0.png cannot be read: the file is empty"):
        list(evaluation_loader(damaged, PREPROCESSING, 4, workers))


def test_training_goes_on_without_an_unreadable_picture_and_names_it(damaged):
    labels = class_numbers(damaged.vehicle_id)
    batches = IdentityBatches(damaged.vehicle_id, 12, 2)
    (batch,) = training_loader(damaged, labels, TRAINING, batches)
    assert batch.failures == (Failure(0, "the file is empty"),)
    assert sorted(batch.rows.tolist()) == list(range(1, 12))
    assert len(batch.pictures) == len(batch.labels) == 11


def test_a_batch_of_failures_alone_is_empty():
    batch = Delivery().collate([Failure(1, "x"), Failure(2, "y")], EVALUATION)
    assert batch.pictures.shape == (0, 3, 0, 0)
    assert batch.labels.shape == batch.rows.shape == batch.cameras.shape == batch.views.shape == (0,)
    assert len(batch.failures) == 2
    black = Prepared(np.zeros((3, 2, 2), np.uint8))
    one = Delivery().collate([Sample(black, 4, 1), Failure(1, "x")], EVALUATION)
    assert (one.rows.tolist(), one.labels.tolist(), one.failures) == ([4], [1], (Failure(1, "x"),))
    assert (one.cameras.tolist(), one.views.tolist()) == ([-1], [-1])  # where the dataset was given none


def test_labels_must_fit_the_manifest(train):
    assert PictureDataset(train, EVALUATION)[0].label == -1
    with pytest.raises(ValueError, match="labels have shape"):
        PictureDataset(train, EVALUATION, labels=np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="cameras have shape"):
        PictureDataset(train, EVALUATION, cameras=np.zeros(3, np.int64))


def test_a_size_makes_decoding_smaller_but_not_the_result(tmp_path):
    from PIL import Image

    rows, columns = np.mgrid[:800, :1200]
    smooth = np.stack([rows // 4, columns // 5, (rows + columns) // 8], axis=-1).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "v_c.jpg", quality=95)
    manifest = open_source(f"folder:{tmp_path}/{{vehicle_id}}_{{camera_id}}.jpg")
    seen = []

    class Watched(PictureTransform):
        def prepare(self, picture):
            seen.append(picture.size)
            return super().prepare(picture)

    resized = Resize(PREPROCESSING.height, PREPROCESSING.width)
    small = finished(PictureDataset(manifest, Watched(PREPROCESSING, resized)), 0)
    whole = EVALUATION(read_picture(manifest.absolute_path(0)))
    assert seen == [(150, 100)]
    assert (small - whole).abs().max() < 0.1  # of values from -2 to 2


def manifest_of(count):
    rows = ({"path": f"{row:03d}.jpg", "vehicle_id": "v", "camera_id": "c", "split": "train"} for row in range(count))
    return Manifest.from_rows(Path(), rows)


def test_failures_are_told_once_and_stop_above_one_per_cent():
    log = FailureLog(manifest_of(200))
    assert log.add([Failure(7, "empty")]) == ["007.jpg (empty)"]
    assert log.add([Failure(7, "empty")]) == []
    assert log.add([Failure(3, "odd"), Failure(7, "empty")]) == ["003.jpg (odd)"]
    assert len(log) == 2
    assert log.sentences() == ["003.jpg (odd)", "007.jpg (empty)"]
    with pytest.raises(SamecarError) as caught:
        log.add([Failure(199, "gone")])
    assert str(caught.value) == (
        "3 of 200 training pictures cannot be read, more than 1%: 003.jpg (odd), 007.jpg (empty), 199.jpg (gone); "
        "mend or remove them (see samecar data check)"
    )
