"""Pictures that are kept are those that are read, wherever they are kept; what is damaged is made anew."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from samecar.config import AugmentationSettings
from samecar.data import IdentityBatches, class_numbers, open_source, training_loader, training_transform
from samecar.data import kept_pictures as room
from samecar.data.kept_pictures import FACTS_FILE, PIXELS_FILE, keep_pictures
from samecar.data.pictures import read_picture
from samecar.errors import SamecarError
from samecar.hardware import Machine, Speed, free_memory
from samecar.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(24, 32, (0.5, 0.4, 0.3), (0.2, 0.25, 0.5))
STRONG = {
    "centre_crop": 0.9,
    "translation": 0.5,
    "pad": 2,
    "flip": 0.5,
    "policy": "trivialaugment",
    "blur": 0.5,
    "jitter": True,
    "erasing": 0.5,
}


@pytest.fixture(autouse=True)
def forgotten():
    room._in_memory.clear()


@pytest.fixture
def folder(tmp_path):
    """Six vehicles with two pictures each, of which the first cannot be read."""
    place = tmp_path / "pictures"
    place.mkdir()
    for number in range(12):
        random = np.random.default_rng(number)
        height, width = random.integers(20, 150, 2)
        coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        coarse.resize((int(width), int(height))).save(place / f"v{number // 2}_c{number % 2}.jpg")
    (place / "v0_c0.jpg").write_bytes(b"")
    return place


@pytest.fixture
def train(folder):
    return open_source(f"folder:{folder}/{{vehicle_id}}_{{camera_id}}.jpg")


@pytest.fixture(params=["memory", "folder"])
def place(request, tmp_path):
    return "memory" if request.param == "memory" else str(tmp_path / "kept")


def keep(train, place, transform=None, threads=2):
    transform = transform or training_transform(PREPROCESSING, AugmentationSettings())
    return keep_pictures(train, transform, Machine("cpu", threads, Speed(cache=place)))


def never(*_, **__):
    raise AssertionError("a picture was decoded")


@pytest.mark.parametrize("reading", ["exact", "quick"])
@pytest.mark.parametrize("options", [{}, STRONG, {"translation": 0.0}, {"translation": 1.0}])
def test_batches_are_those_of_the_files(train, place, options, reading):
    transform = training_transform(replace(PREPROCESSING, reading=reading), AugmentationSettings(**options))
    kept = keep(train, place, transform)
    labels, batches = class_numbers(train.vehicle_id), IdentityBatches(train.vehicle_id, 12, 2)
    expected = list(training_loader(train, labels, transform, batches))
    for threads in (0, 3):
        found = list(training_loader(train, labels, transform, batches, threads, kept=kept))
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one.pictures, other.pictures)
            assert torch.equal(one.rows, other.rows)
            assert one.failures == other.failures
    assert any(batch.failures for batch in expected)


def test_what_is_kept_is_what_the_picture_looks_like(train, place):
    kept = keep(train, place)
    assert kept.find(0) is None
    for row in range(1, len(train)):
        picture = read_picture(train.absolute_path(row), PREPROCESSING.decoded_size)
        for found, size in zip(kept.find(row), ((32, 24), (36, 27)), strict=True):
            assert np.array_equal(found, np.asarray(picture.resize(size, Image.Resampling.BILINEAR)))


def test_nothing_is_decoded_twice(train, place, monkeypatch):
    keep(train, place)
    monkeypatch.setattr(room, "decode_picture", never)
    kept = keep(train, place)
    assert kept.find(3) is not None
    with pytest.raises(AssertionError, match="was decoded"):
        keep(train, place, training_transform(replace(PREPROCESSING, height=32), AugmentationSettings()))


def test_nothing_is_kept_where_nobody_asks(train):
    transform = training_transform(PREPROCESSING, AugmentationSettings())
    assert keep_pictures(train, transform, Machine("cpu", 0)) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"preprocessing": replace(PREPROCESSING, width=40)},
        {"preprocessing": replace(PREPROCESSING, reading="quick")},
        {"options": {"centre_crop": 0.8}},
        {"options": {"translation": 0.0}},
        {"file": "v3_c1.jpg"},
    ],
)
def test_other_pictures_are_kept_apart(train, folder, place, changed):
    first = keep(train, place)
    if "file" in changed:
        shutil.copy(folder / "v4_c0.jpg", folder / changed["file"])
    transform = training_transform(
        changed.get("preprocessing", PREPROCESSING), AugmentationSettings(**changed.get("options", {}))
    )
    second = keep(train, place, transform)
    assert second.sizes != first.sizes or not np.array_equal(second.pixels[1:], first.pixels[1:])


def test_what_changes_no_pixel_before_chance_shares_what_is_kept(train, tmp_path):
    place = str(tmp_path / "kept")
    for options in ({}, {"jitter": True, "erasing": 0.5, "flip": 0.0, "translation": 0.3}):
        keep(train, place, training_transform(PREPROCESSING, AugmentationSettings(**options)))
    assert len(list((tmp_path / "kept").glob("pictures-*"))) == 1


def damage_a_pixel(kept):
    content = bytearray((kept / PIXELS_FILE).read_bytes())
    content[-5] ^= 255
    (kept / PIXELS_FILE).write_bytes(content)


def change_facts(**changes):
    def change(kept):
        facts = json.loads((kept / FACTS_FILE).read_text())
        (kept / FACTS_FILE).write_text(json.dumps(facts | changes))

    return change


@pytest.mark.parametrize(
    "damage",
    [
        damage_a_pixel,
        lambda kept: (kept / PIXELS_FILE).unlink(),
        lambda kept: (kept / PIXELS_FILE).write_bytes(b""),
        lambda kept: (kept / FACTS_FILE).unlink(),
        lambda kept: (kept / FACTS_FILE).write_text("{"),
        lambda kept: (kept / FACTS_FILE).write_text("[]"),
        change_facts(there=[99]),
        change_facts(key="another"),
        change_facts(format=0),
        change_facts(digests=[]),
    ],
)
def test_what_is_damaged_is_made_anew(train, tmp_path, damage):
    place = str(tmp_path / "kept")
    expected = np.array(keep(train, place).pixels)
    (kept,) = (tmp_path / "kept").iterdir()
    damage(kept)
    assert np.array_equal(keep(train, place).pixels[1:], expected[1:])
    assert (kept / FACTS_FILE).is_file()
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_memory_keeps_one_set(train):
    keep(train, "memory")
    keep(train, "memory", training_transform(replace(PREPROCESSING, height=32), AugmentationSettings()))
    assert len(room._in_memory) == 1


def test_too_little_room_is_one_sentence(train, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "free_memory", lambda: 50_000)
    with pytest.raises(SamecarError) as caught:
        keep(train, "memory")
    assert str(caught.value) == (
        "cache is 'memory', but the pictures take 0.1 MB and of 0.1 MB of free memory at most 70% are taken; name a "
        "folder instead, or leave it out"
    )
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 9))
    with pytest.raises(SamecarError, match=r"cache is .*kept, but the pictures take .* name a folder on another disk"):
        keep(train, str(tmp_path / "kept"))
    assert not (tmp_path / "kept").exists()


def test_a_file_is_no_place(train, tmp_path):
    (tmp_path / "kept").write_text("")
    with pytest.raises(SamecarError, match=r"kept"):
        keep(train, str(tmp_path / "kept"))


def test_an_interruption_leaves_nothing_half_written(train, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(room, "_digests", interrupt)
        with pytest.raises(KeyboardInterrupt):
            keep(train, str(tmp_path / "kept"))
    assert list((tmp_path / "kept").iterdir()) == []
    assert keep(train, str(tmp_path / "kept")).find(1) is not None


def test_another_process_may_make_it_meanwhile(train, tmp_path, monkeypatch):
    """Both begin, as neither finds it; the one that is later takes what the other has made."""
    place = tmp_path / "kept"
    write = room._Work.write

    def write_late(work, folder):
        write(work, folder)
        with monkeypatch.context() as patch:
            patch.setattr(room._Work, "write", write)
            keep(train, str(place))

    monkeypatch.setattr(room._Work, "write", write_late)
    assert keep(train, str(place)).find(1) is not None
    assert len(list(place.iterdir())) == 1


def test_free_memory_is_told():
    free = free_memory()
    assert free is None or 0 < free < 1e15
