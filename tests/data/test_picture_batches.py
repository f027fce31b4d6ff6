import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samecar.data import picture_batches
from samecar.data.manifest import Manifest
from samecar.data.picture_batches import AHEAD, read_batches
from samecar.data.pictures import UnreadablePictureError
from samecar.preprocessing import Preprocessing

TAKEN = Preprocessing(24, 16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
COUNT = 23


def manifest_of(folder: Path, names: list[str]) -> Manifest:
    columns = (np.array(values, np.str_) for values in (names, ["v"] * len(names), ["c"] * len(names)))
    return Manifest(folder, *columns, np.array(["gallery"] * len(names), np.str_))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    names = [f"{number:02d}.{'jpg' if number % 3 else 'png'}" for number in range(COUNT)]
    for number, name in enumerate(names):
        Image.fromarray(random.integers(0, 256, (20 + 9 * number, 31, 3), np.uint8)).save(folder / name)
    return manifest_of(folder, names)


def by_pillow(path):
    with Image.open(path) as picture:
        if picture.format == "JPEG":
            picture.draft("RGB", (48, 48))
        small = picture.resize((16, 24), Image.Resampling.BILINEAR)
    return np.asarray(small).transpose(2, 0, 1)


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_pictures_are_those_of_pillow_in_order_whatever_the_threads(manifest, threads):
    batches = list(read_batches(manifest, TAKEN, 5, threads=threads))
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3]
    assert {batch.dtype for batch in batches} == {np.dtype(np.uint8)}
    expected = np.stack([by_pillow(path) for path in manifest.absolute_paths()])
    np.testing.assert_array_equal(np.concatenate(batches), expected)
    assert all(batch.transpose(0, 2, 3, 1).flags.c_contiguous for batch in batches)


def test_quick_pictures_are_the_same_whatever_the_threads_and_close_to_the_exact_ones(manifest):
    quick = Preprocessing(24, 16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "quick")
    alone, together = (np.concatenate(list(read_batches(manifest, quick, 5, threads=threads))) for threads in (0, 4))
    np.testing.assert_array_equal(alone, together)
    exact = np.concatenate(list(read_batches(manifest, TAKEN, 5)))
    assert 0 < np.abs(alone.astype(int) - exact).mean() < 5  # of noise, which no scale shows alike


@pytest.mark.parametrize("threads", [0, 3])
def test_no_picture_is_no_batch(manifest, threads):
    assert list(read_batches(manifest.select([]), TAKEN, 5, threads=threads)) == []


@pytest.mark.parametrize("threads", [0, 4])
def test_the_first_unreadable_picture_ends_it_after_the_batches_before(manifest, tmp_path, threads):
    whole = manifest.absolute_paths()
    (tmp_path / "cut.jpg").write_bytes(Path(whole[10]).read_bytes()[:300])
    names = [*whole[:7], str(tmp_path / "cut.jpg"), str(tmp_path / "absent.jpg"), *whole[7:]]
    batches = read_batches(manifest_of(tmp_path, names), TAKEN, 5, threads=threads)
    assert len(next(batches)) == 5
    with pytest.raises(UnreadablePictureError, match=r"picture .*cut\.jpg cannot be read: it is truncated or corrupt"):
        next(batches)
    assert list(batches) == []


@pytest.mark.parametrize("threads", [0, 4])
def test_few_batches_wait_and_none_is_read_after_the_end(manifest, monkeypatch, threads):
    read = []

    def note(path, size):
        read.append(path)
        return Image.open(path).convert("RGB")

    monkeypatch.setattr(picture_batches, "read_picture", note)
    many = manifest.select([*range(10)])
    batches = read_batches(many, TAKEN, 1, threads=threads)
    next(batches)
    batches.close()
    assert 1 <= len(read) <= 1 + AHEAD
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pictures")]
