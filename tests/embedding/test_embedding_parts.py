import os

import numpy as np
import pytest
from command_line import done, refused
from PIL import Image

import samecar
from samecar.embedding import parts
from samecar.embedding.embeddings import Embeddings
from samecar.embedding.parts import Maker, Parts, embed_in_parts, keep_parts_beside
from samecar.errors import SamecarError
from samecar.progress import silent

COUNT = 23


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PART", 5)
    for number in range(COUNT):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"v{number:02d}_c1.png")
    return samecar.open_source(f"folder:{tmp_path}/{{vehicle_id}}_{{camera_id}}.png")


class Counting:
    """Embeds a picture as its number and its square, and stops where it is told to."""

    def __init__(self, stop_at=COUNT):
        self.embedded, self.stop_at = [], stop_at

    def __call__(self, manifest, progress):
        numbers = [int(vehicle[1:]) for vehicle in manifest.vehicle_id]
        if self.stop_at in numbers:
            raise KeyboardInterrupt
        self.embedded += numbers
        progress("embedding", len(numbers), len(numbers))
        return Embeddings(np.array([[each, each**2] for each in numbers], np.float32), manifest, "model")


def test_it_goes_on_where_it_was_stopped(manifest, tmp_path):
    stopped, resumed, told = Counting(stop_at=12), Counting(), []
    with pytest.raises(KeyboardInterrupt):
        embed_in_parts(manifest, Maker("model", "torch", stopped), tmp_path / "kept", silent)
    assert stopped.embedded == [*range(10)]
    found = embed_in_parts(
        manifest, Maker("model", "torch", resumed), tmp_path / "kept", lambda *told_of: told.append(told_of)
    )
    assert resumed.embedded == [*range(10, COUNT)]
    np.testing.assert_array_equal(found.matrix, [[each, each**2] for each in range(COUNT)])
    assert found.matrix.dtype == np.float32
    assert isinstance(found.matrix, np.memmap)  # which lies on disk, not in memory
    assert [each[1:3] for each in told] == [(15, COUNT), (20, COUNT), (COUNT, COUNT)]
    assert found.labels.picture.tolist() == manifest.absolute_paths()
    again = Counting()
    np.testing.assert_array_equal(
        embed_in_parts(manifest, Maker("model", "torch", again), tmp_path / "kept", silent).matrix, found.matrix
    )
    assert again.embedded == []


def change_a_picture(manifest):
    os.utime(manifest.absolute_path(3), (1, 1))
    return manifest


@pytest.mark.parametrize(
    ("model", "change"),
    [
        ("another", lambda manifest: manifest),
        ("model", lambda manifest: manifest.select(range(1, COUNT))),
        ("model", lambda manifest: manifest.select(range(COUNT)[::-1])),
        ("model", change_a_picture),
    ],
    ids=["model", "pictures", "order", "content"],
)
def test_parts_of_something_else_are_replaced(manifest, tmp_path, model, change):
    with pytest.raises(KeyboardInterrupt):
        embed_in_parts(manifest, Maker("model", "torch", Counting(stop_at=12)), tmp_path / "kept", silent)
    changed = change(manifest)
    every = Counting()
    found = embed_in_parts(changed, Maker(model, "torch", every), tmp_path / "kept", silent)
    assert len(every.embedded) == len(changed)
    assert found.model == model
    np.testing.assert_array_equal(found.matrix[:, 0], [int(vehicle[1:]) for vehicle in changed.vehicle_id])


def test_parts_by_the_quickest_way_are_not_taken_for_the_reference(manifest, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        embed_in_parts(manifest, Maker("model", "torch", Counting(stop_at=12)), tmp_path / "kept", silent)
    every = Counting()
    embed_in_parts(manifest, Maker("model", "onnxruntime", every), tmp_path / "kept", silent)
    assert every.embedded == [*range(COUNT)]


def test_a_folder_of_somebody_else_is_left_alone(manifest, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "notes.txt").write_text("mine")
    with pytest.raises(SamecarError, match=r"kept would keep .* holds notes.txt; move it away"):
        embed_in_parts(manifest, Maker("model", "torch", Counting()), tmp_path / "kept", silent)
    assert (tmp_path / "kept" / "notes.txt").read_text() == "mine"


def test_a_file_in_the_place_of_the_folder_is_refused(manifest, tmp_path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(SamecarError, match=r"kept would keep .* is a file; move it away"):
        embed_in_parts(manifest, Maker("model", "torch", Counting()), tmp_path / "kept", silent)


def cut(path):
    path.write_bytes(path.read_bytes()[:-8])


def fill(path):
    path.write_bytes(b"torn" * 40)


def shorten(path):
    np.save(path, np.load(path)[:-1])


@pytest.mark.parametrize("damage", [os.unlink, cut, fill, shorten])
def test_a_damaged_part_is_made_again(manifest, tmp_path, damage):
    with pytest.raises(KeyboardInterrupt):
        embed_in_parts(manifest, Maker("model", "torch", Counting(stop_at=17)), tmp_path / "kept", silent)
    parts_made = sorted((tmp_path / "kept").iterdir())
    assert len(parts_made) == 3
    damage(parts_made[1])
    again = Counting()
    found = embed_in_parts(manifest, Maker("model", "torch", again), tmp_path / "kept", silent).matrix
    np.testing.assert_array_equal(found, [[each, each**2] for each in range(COUNT)])
    assert again.embedded == [*range(5, 10), *range(15, COUNT)]


@pytest.mark.parametrize("damage", [os.unlink, cut, fill, shorten])
def test_a_damaged_whole_is_made_again(manifest, tmp_path, damage):
    expected = embed_in_parts(manifest, Maker("model", "torch", Counting()), tmp_path / "kept", silent).matrix.copy()
    (matrix,) = (tmp_path / "kept").iterdir()
    damage(matrix)
    again = Counting()
    np.testing.assert_array_equal(
        embed_in_parts(manifest, Maker("model", "torch", again), tmp_path / "kept", silent).matrix, expected
    )
    assert again.embedded == [*range(COUNT)]


def test_parts_of_an_earlier_version_are_replaced(manifest, tmp_path):
    (tmp_path / "kept").mkdir()
    for name in ("matrix.npy", "progress.json"):
        (tmp_path / "kept" / name).write_bytes(b"of before")
    embed_in_parts(manifest, Maker("model", "torch", Counting()), tmp_path / "kept", silent)
    assert len([*(tmp_path / "kept").iterdir()]) == 1


def test_a_part_that_another_process_has_made_elsewhere_is_missed(manifest, tmp_path):
    maker = Maker("model", "torch", Counting())
    made = Parts.of(tmp_path / "kept", manifest, maker)
    made.make(range(0, made.count, 2), manifest, maker, silent)
    with pytest.raises(SamecarError, match=r"kept lacks part 2 of 5, which another process has made; let all"):
        made.join()
    made.make(range(1, made.count, 2), manifest, maker, silent)
    np.testing.assert_array_equal(np.load(made.join()), [[each, each**2] for each in range(COUNT)])


def test_what_others_keep_beside_a_file_stays(tmp_path):
    others = tmp_path / "a.npz.parts"
    others.mkdir()
    (others / "notes.txt").write_text("mine")
    with keep_parts_beside(tmp_path / "a.npz"):
        pass
    assert (others / "notes.txt").read_text() == "mine"


def test_a_small_set_keeps_nothing(manifest, tmp_path):
    embed_in_parts(manifest.select(range(5)), Maker("model", "torch", Counting()), tmp_path / "kept", silent)
    assert not (tmp_path / "kept").exists()


def test_parts_stay_beside_the_file_until_it_is_written(tmp_path):
    out = tmp_path / "all.npz"
    folder = tmp_path / "all.npz.parts"

    def stop():
        with keep_parts_beside(out) as given:
            assert given == folder
            folder.mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert folder.is_dir()
    with keep_parts_beside(out):
        pass
    assert not folder.exists()


def test_the_command_writes_what_it_writes_without_parts(trained, painted_source, tmp_path, monkeypatch):
    whole = samecar.embed_with(trained, painted_source, on=samecar.machine("cpu", 0))
    monkeypatch.setattr(parts, "PART", 64)
    done("embed", trained, painted_source, "-o", tmp_path / "all.npz", "--workers", 0)
    monkeypatch.setattr(parts, "PART", 8)
    done("embed", trained, painted_source, "-o", tmp_path / "parts.npz", "--workers", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.npz", "parts.npz"]
    for name in ("all", "parts"):
        written = Embeddings.load(tmp_path / f"{name}.npz")
        assert written.model == whole.model
        np.testing.assert_allclose(written.matrix, whole.matrix, atol=1e-6)
        assert written.labels.picture.tolist() == whole.labels.picture.tolist()


def test_machines_that_start_by_themselves_embed_a_share_each(trained, painted_source, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PART", 8)
    out, command = tmp_path / "shared.npy", ("embed", trained, painted_source, "--workers", 0, "-o")
    done(*command, tmp_path / "alone.npy")
    said = done(*command, out, "--part", "2/2")
    assert said == f"{out}.parts: 5 of 10 parts are made; when all are, the same command without --part joins them\n"
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "shared.npy.parts").iterdir()}
    assert len(made) == 5
    assert not out.exists()
    done(*command, out, "--part", "1/2")
    assert {path: path.stat().st_mtime_ns for path in made} == made
    done(*command, out)
    assert out.read_bytes() == (tmp_path / "alone.npy").read_bytes()
    assert not (tmp_path / "shared.npy.parts").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--part", "3/2"], "--part is '3/2'; give the number of a share and how many there are, such as 2/4"),
        (["--part", "two"], "--part is 'two'"),
        (["--part", "1/2", "--processes", 2], "give it or --processes, not both"),
        (["--part", "1/2"], "pictures are embedded at once; parts are of 4,096, so leave --part out"),
    ],
)
def test_shares_that_mean_nothing_are_refused(trained, painted_source, tmp_path, options, sentence):
    assert sentence in refused("embed", trained, painted_source, "--workers", 0, "-o", tmp_path / "all.npz", *options)
