import json

import numpy as np
import pytest
from conftest import paint_picture
from PIL import Image

from samecar.data import Manifest, check, open_source, split_by_identity
from samecar.data.checking import NEAR_DUPLICATE_BITS, _close_pairs
from samecar.data.inspecting import inspect_file, inspect_files
from samecar.errors import SamecarError

PATTERN = "{split}/{vehicle_id}_{camera_id}_*.*"


def texture(path, seed, size=64):
    """A picture that looks like no other: smooth blobs."""
    blobs = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(blobs).resize((size, size), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def healthy(tmp_path):
    """Two train and two test vehicles, each seen twice by two cameras; queries are copies of gallery pictures."""
    seed = 0
    for split, vehicles in (("train", "ab"), ("gallery", "cd")):
        for vehicle in vehicles:
            for camera in "12":
                for index in range(2):
                    texture(tmp_path / split / f"{vehicle}_{camera}_{index}.png", seed)
                    seed += 1
    (tmp_path / "query").mkdir()
    for vehicle in "cd":
        copy(tmp_path / "gallery" / f"{vehicle}_1_0.png", tmp_path / "query" / f"{vehicle}_1_0.png")
    return tmp_path


def copy(path, to):
    to.write_bytes(path.read_bytes())


def findings(folder, kind=None, pattern=PATTERN):
    found = check(open_source(f"folder:{folder}/{pattern}"), workers=1).findings
    return [finding for finding in found if kind in (None, finding.kind)]


def test_a_healthy_set_has_a_summary_and_one_note(healthy):
    result = check(open_source(f"folder:{healthy}/{PATTERN}"))
    assert result.ok
    assert [finding.kind for finding in result.findings] == ["query in gallery"]
    assert result.findings[0].count == 2
    assert result.findings[0].examples[0] == "gallery/c_1_0.png = query/c_1_0.png"
    train = result.splits["train"]
    assert (train.pictures, train.vehicles, train.cameras, train.unlabelled) == (8, 2, 2, 0)
    assert (train.fewest, train.median, train.most) == (4, 4.0, 4)
    assert result.splits["query"].pictures == 2
    assert result.source == "folder"


def test_what_is_found_fits_into_json(healthy):
    (healthy / "train" / "a_1_0.png").write_bytes(b"")
    content = check(open_source(f"folder:{healthy}/{PATTERN}")).as_dict()
    assert json.loads(json.dumps(content)) == content
    assert content["ok"] is False
    assert content["splits"]["gallery"]["most"] == 4
    assert content["findings"][0] == {
        "kind": "unreadable",
        "severity": "error",
        "sentence": "pictures that cannot be read: 1",
        "count": 1,
        "examples": ["train/a_1_0.png (the file is empty)"],
    }


def test_unreadable_and_missing_pictures(healthy):
    manifest = open_source(f"folder:{healthy}/{PATTERN}")
    (healthy / "train" / "a_1_0.png").write_bytes(b"no picture")
    (healthy / "gallery" / "c_1_0.png").unlink()
    (healthy / "gallery" / "c_1_1.png").unlink()
    (healthy / "gallery" / "c_1_1.png").mkdir()
    missing, unreadable = check(manifest).findings[:2]
    assert (missing.kind, missing.severity, missing.examples) == ("missing", "error", ("gallery/c_1_0.png",))
    assert unreadable.examples == (
        "gallery/c_1_1.png (is a directory)",
        "train/a_1_0.png (it is not a picture of a known format)",
    )


def test_vehicles_in_train_and_test(healthy):
    texture(healthy / "train" / "c_3_0.png", 90)
    (found,) = findings(healthy, "vehicles in train and test")
    assert (found.severity, found.count, found.examples) == ("error", 1, ("c",))


def test_the_same_bytes_in_train_and_test(healthy):
    copy(healthy / "gallery" / "d_2_0.png", healthy / "train" / "a_1_9.png")
    (found,) = findings(healthy, "identical in train and test")
    assert (found.severity, found.examples) == ("error", ("gallery/d_2_0.png = train/a_1_9.png",))
    assert not findings(healthy, "near-duplicates")


def test_the_same_bytes_as_another_vehicle_or_camera(healthy):
    copy(healthy / "gallery" / "d_2_0.png", healthy / "gallery" / "c_2_9.png")
    copy(healthy / "train" / "a_1_0.png", healthy / "train" / "a_2_9.png")
    (found,) = findings(healthy, "identical with other labels")
    assert (found.severity, found.count) == ("error", 2)


def test_the_same_bytes_several_times_in_one_split(healthy):
    copy(healthy / "train" / "a_1_0.png", healthy / "train" / "a_1_9.png")
    (found,) = findings(healthy, "identical in a split")
    assert (found.severity, found.examples) == ("warning", ("train/a_1_0.png = train/a_1_9.png",))


def test_copies_that_were_saved_again_are_near_duplicates(healthy):
    picture = Image.open(healthy / "train" / "b_2_1.png")
    picture.save(healthy / "gallery" / "d_2_7.jpg", quality=60)
    picture.resize((48, 48)).save(healthy / "gallery" / "d_2_8.png")
    Image.eval(picture, lambda value: min(255, value + 12)).save(healthy / "gallery" / "d_2_9.png")
    (found,) = findings(healthy, "near-duplicates")
    assert (found.severity, found.count) == ("warning", 3)
    assert all("train/b_2_1.png" in example for example in found.examples)


def test_close_pairs_equal_a_plain_loop(monkeypatch):
    monkeypatch.setattr("samecar.data.checking._PAIRS_AT_A_TIME", 50)
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**64, 60, dtype=np.uint64)
    for row in range(30, 50):
        flips = generator.choice(64, int(generator.integers(0, 9)), replace=False)
        hashes[row] = hashes[row - 30] ^ np.bitwise_or.reduce(
            np.uint64(1) << flips.astype(np.uint64), initial=np.uint64(0)
        )
    rows, others = np.arange(30, 60), np.arange(30)
    expected = {}
    for row in rows.tolist():
        bits = [(int(hashes[row]) ^ int(hashes[other])).bit_count() for other in others]
        if min(bits) <= NEAR_DUPLICATE_BITS:
            expected[row] = min(bits)
    assert {row: bits for row, _, bits in _close_pairs(hashes, rows, others)} == expected
    assert 5 < len(expected) < 20
    assert list(_close_pairs(hashes, rows, others[:0])) == []


def test_even_areas_are_not_compared(healthy):
    Image.new("RGB", (64, 64), (90, 90, 90)).save(healthy / "train" / "a_1_8.png")
    Image.new("RGB", (64, 64), (90, 91, 90)).save(healthy / "gallery" / "c_1_8.png")
    (found,) = findings(healthy, "featureless")
    assert found.examples == ("gallery/c_1_8.png", "train/a_1_8.png")
    assert not findings(healthy, "near-duplicates")


def test_grey_pictures_of_fewer_bits_than_their_files_are_named_with_them(healthy):
    grey = np.random.default_rng(3).integers(0, 256, (64, 64)).astype(np.uint16)
    Image.fromarray(grey * 16).save(healthy / "train" / "a_1_8.png")
    Image.fromarray(grey * 257).save(healthy / "train" / "a_1_9.png")
    (found,) = findings(healthy, "grey bits")
    assert found.severity == "warning"
    assert found.examples == ("train/a_1_8.png (12 bits)",)


@pytest.mark.parametrize("suffix", ["tif", "webp", "png"])
def test_files_with_several_frames_are_named(suffix, healthy):
    frames = [Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)) for seed in (1, 2)]
    frames[0].save(healthy / "train" / f"a_1_8.{suffix}", save_all=True, append_images=frames[1:])
    frames[0].save(healthy / "train" / f"a_1_9.{suffix}")
    (found,) = findings(healthy, "several frames")
    assert (found.severity, found.examples) == ("warning", (f"train/a_1_8.{suffix}",))


def test_vehicles_with_one_camera_or_one_picture(healthy):
    texture(healthy / "train" / "e_1_0.png", 91)
    texture(healthy / "gallery" / "f_1_0.png", 92)
    copy(healthy / "gallery" / "f_1_0.png", healthy / "query" / "f_1_0.png")
    kinds = {(found.kind, found.severity, found.sentence, found.examples) for found in findings(healthy)}
    assert {
        ("one camera", "note", "vehicles in train that one camera only saw: 1", ("e",)),
        ("one camera", "warning", "vehicles in test that one camera only saw: 1", ("f",)),
        ("one picture", "note", "vehicles in train with one picture only: 1", ("e",)),
        ("one picture", "warning", "vehicles in test with one picture only: 1", ("f",)),
    } <= kinds
    (found,) = findings(healthy, "unmatched queries")
    assert (found.severity, found.examples) == ("warning", ("query/f_1_0.png",))


def test_no_query_with_a_match_is_an_error(healthy):
    for path in (healthy / "gallery").glob("*_2_*"):
        path.unlink()
    (found,) = findings(healthy, "unmatched queries")
    assert (found.severity, found.count) == ("error", 2)


def test_small_and_unlabelled_pictures(healthy):
    texture(healthy / "train" / "a_1_7.png", 93, size=31)
    assert findings(healthy, "small")[0].examples == ("train/a_1_7.png",)
    assert findings(healthy, "small")[0].sentence == "pictures with a side shorter than 32 pixels: 1"
    result = check(open_source(f"folder:{healthy}"), workers=0)
    assert [finding.kind for finding in result.findings if finding.severity == "note"] == ["unlabelled", "no cameras"]
    assert result.splits["gallery"].unlabelled == 19
    assert (result.splits["gallery"].fewest, result.splits["gallery"].median) == (0, 0.0)


def test_what_the_source_noticed_is_repeated(healthy):
    texture(healthy / "stray.png", 94)
    (found,) = findings(healthy, "source")
    assert found.severity == "warning"
    assert found.sentence.startswith("1 pictures do not match")


def test_a_set_that_we_split_is_healthy(tmp_path):
    for number in range(24):
        texture(tmp_path / f"{number // 4}_{number % 2}_{number}.png", number)
    manifest = split_by_identity(open_source(f"folder:{tmp_path}/{{vehicle_id}}_{{camera_id}}_*.png"), 2)
    result = check(manifest)
    assert result.ok
    assert [finding.kind for finding in result.findings] == ["query in gallery"]


def test_progress_is_told_to_the_end(healthy):
    told = []
    check(open_source(f"folder:{healthy}/{PATTERN}"), progress=lambda *told_of: told.append(told_of))
    assert told == [("reading", 18, 18)]


def test_files_are_read_once_however_many_rows_they_have(healthy, monkeypatch):
    manifest = open_source(f"folder:{healthy}/{PATTERN}").of_split("train")
    twice = split_by_identity(manifest, 1)
    read = []
    monkeypatch.setattr("samecar.data.inspecting.inspect_file", lambda path: read.append(path) or inspect_file(path))
    check(twice, workers=1)
    assert len(read) == 8
    assert len(twice) == 10


@pytest.mark.slow
def test_processes_give_the_same_in_the_same_order(tmp_path):
    paths = [tmp_path / f"{number:03d}.png" for number in range(520)]
    for number, path in enumerate(paths[:-1]):
        if number % 50:
            paint_picture(path, number, 0, 0)
        else:
            path.write_bytes(b"")
    told = []
    assert inspect_files(paths, 2, lambda *count: told.append(count)) == inspect_files(paths, 1)
    assert told[-1] == ("reading", 520, 520)


def test_a_dead_process_is_one_sentence(tmp_path, monkeypatch):
    from concurrent.futures.process import BrokenProcessPool

    class Broken:
        def __init__(self, *_, **__): ...

        def __enter__(self):
            return self

        def __exit__(self, *_): ...

        def map(self, *_, **__):
            raise BrokenProcessPool("gone")

        def shutdown(self, **_): ...

    monkeypatch.setattr("samecar.hardware.ProcessPoolExecutor", Broken)
    with pytest.raises(SamecarError, match="ended too early; use workers=1"):
        inspect_files([tmp_path / str(number) for number in range(600)], workers=2)
    assert inspect_files([], 2) == []


def test_placeholders_are_counted_and_are_no_vehicle(healthy):
    texture(healthy / "train" / "-1_1_0.png", 90)
    texture(healthy / "gallery" / "-1_2_0.png", 91)
    (found,) = findings(healthy, "placeholders")
    assert (found.severity, found.count) == ("warning", 2)
    assert found.sentence == "pictures whose vehicle_id names no vehicle ('-1') and which count as unlabelled: 2"
    result = check(open_source(f"folder:{healthy}/{PATTERN}"), workers=1)
    assert result.ok
    assert (result.splits["train"].vehicles, result.splits["train"].unlabelled) == (2, 1)


@pytest.mark.parametrize("cameras", [("1", "2"), ("", "")])
def test_check_calls_those_queries_unmatched_that_scoring_skips(tmp_path, cameras):
    """A copy by another name, the same file in both splits, a second picture, and one of nobody."""
    for seed, name in enumerate(("a", "b", "c", "d")):
        texture(tmp_path / f"{name}.png", seed)
    copy(tmp_path / "a.png", tmp_path / "a2.png")
    shown = [("a", "1", 0, "query"), ("a2", "1", 1, "gallery"), ("b", "2", 0, "query"), ("b", "2", 0, "gallery")]
    shown += [("c", "3", 0, "query"), ("d", "3", 1, "gallery"), ("d", "-1", 0, "query")]
    rows = [
        {"path": f"{name}.png", "vehicle_id": vehicle, "camera_id": cameras[camera], "split": split}
        for name, vehicle, camera, split in shown
    ]
    found = {finding.kind: finding for finding in check(Manifest.from_rows(tmp_path, rows), workers=1).findings}
    assert found["unmatched queries"].severity == "warning"
    assert found["unmatched queries"].examples == ("a.png", "b.png", "d.png")
