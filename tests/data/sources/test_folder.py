import os
import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from conftest import paint_picture
from hypothesis import given
from hypothesis import strategies as st

from samecar.data import open_source
from samecar.data.sources.folder import _compile_pattern
from samecar.errors import SamecarError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def read(root, pattern, *columns):
    return open_source(f"folder:{root}/{pattern}").rows(columns or ("path", "vehicle_id", "camera_id", "split"))


def test_vehicle_takes_as_much_as_it_can(tmp_path):
    touch(tmp_path, "car_0003_cam1.jpg", "bus_1_cam2.jpg")
    assert read(tmp_path, "{vehicle_id}_{camera_id}.jpg") == [
        ("bus_1_cam2.jpg", "bus_1", "cam2", "train"),
        ("car_0003_cam1.jpg", "car_0003", "cam1", "train"),
    ]


@pytest.mark.parametrize(
    ("pattern", "name", "fields"),
    [
        ("{camera_id}_{vehicle_id}.jpg", "cam1_car_0003.jpg", {"vehicle_id": "car_0003", "camera_id": "cam1"}),
        ("{vehicle_id}_{camera_id}_{time}.jpg", "a_b_c_d.jpg", {"vehicle_id": "a_b", "camera_id": "c", "time": "d"}),
        ("{camera_id}_{time}.jpg", "a_b_c.jpg", {"camera_id": "a", "time": "b_c"}),
        ("{vehicle_id}_{camera_id}_*.jpg", "a_b_c_d.jpg", {"vehicle_id": "a_b", "camera_id": "c"}),
        ("{vehicle_id}/{vehicle_id}_{camera_id}.*", "a_1/a_1_c.png", {"vehicle_id": "a_1", "camera_id": "c"}),
        ("{vehicle_id}/{vehicle_id}_{camera_id}.*", "a_1/a_2_c.png", None),
        ("**/{vehicle_id}.jpg", "a.jpg", {"vehicle_id": "a"}),
        ("**/{vehicle_id}.jpg", "x/y/a.jpg", {"vehicle_id": "a"}),
        ("{vehicle_id}/**/*.jpg", "a/x/y/b.jpg", {"vehicle_id": "a"}),
        ("{vehicle_id}/*.jpg", "a/x/b.jpg", None),
        ("{vehicle_id}.jpg", "a.JPG", {"vehicle_id": "a"}),
        ("{vehicle_id}.jpg", "axjpg", None),
        ("{vehicle_id}_(1)+.jpg", "a_(1)+.jpg", {"vehicle_id": "a"}),
        ("{vehicle_id}_{camera_id}.jpg", "_c.jpg", None),
    ],
)
def test_patterns(pattern, name, fields):
    match = _compile_pattern(pattern, pattern).fullmatch(name)
    assert (match.groupdict() if match else None) == fields


words = st.from_regex(r"[a-z0-9_]{1,6}", fullmatch=True)
plain = st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True)


@given(words, plain, plain)
def test_what_a_pattern_writes_it_reads(vehicle, camera, time):
    match = _compile_pattern("{vehicle_id}/{camera_id}_{time}.jpg", "").fullmatch(f"{vehicle}/{camera}_{time}.jpg")
    assert match.groupdict() == {"vehicle_id": vehicle, "camera_id": camera, "time": time}
    match = _compile_pattern("{vehicle_id}_{camera_id}.jpg", "").fullmatch(f"{vehicle}_{camera}.jpg")
    assert match.groupdict() == {"vehicle_id": vehicle, "camera_id": camera}


def test_a_parent_folder_never_becomes_a_label(tmp_path):
    root = touch(tmp_path / "12_c3" / "0007_c001", "0002_c005_1.jpg")
    assert read(root, "{vehicle_id}_{camera_id}_*.jpg") == [("0002_c005_1.jpg", "0002", "c005", "train")]
    # The same holds where the pattern could match the whole path.
    assert read(root, "**/{vehicle_id}_{camera_id}_*.jpg") == [("0002_c005_1.jpg", "0002", "c005", "train")]


def test_split_may_be_a_folder(tmp_path):
    touch(tmp_path, "train/v1/c1_0.png", "query/v2/c1_0.png", "gallery/v2/c2_0.png")
    manifest = open_source(f"folder:{tmp_path}/{{split}}/{{vehicle_id}}/{{camera_id}}_*.png")
    assert manifest.split_counts == {"train": 1, "query": 1, "gallery": 1}
    assert manifest.root == tmp_path
    assert manifest.source == "folder"


def test_another_split_name_is_refused_with_the_picture(tmp_path):
    touch(tmp_path, "test/v1_c1.png")
    with pytest.raises(SamecarError, match=r"split of picture 'test/v1_c1.png' is 'test'; it must be one of train"):
        read(tmp_path, "{split}/{vehicle_id}_{camera_id}.png")


def test_without_a_pattern_every_picture_is_taken_unlabelled(tmp_path):
    touch(tmp_path, "b.jpg", "a/x.PNG", "a/notes.txt", ".hidden/c.jpg", ".d.jpg")
    expected = [("a/x.PNG", "", "", "gallery"), ("b.jpg", "", "", "gallery")]
    assert open_source(f"folder:{tmp_path}").rows(("path", "vehicle_id", "camera_id", "split")) == expected
    assert open_source(f"folder:{tmp_path}/").warnings == ("2 hidden pictures are left out: .d.jpg, .hidden/c.jpg",)


def test_a_pattern_without_vehicle_is_a_gallery(tmp_path):
    touch(tmp_path, "c1/x.jpg")
    assert read(tmp_path, "{camera_id}/*") == [("c1/x.jpg", "", "c1", "gallery")]


def test_pictures_that_do_not_match_are_counted_and_named(tmp_path):
    touch(tmp_path, "v1_c1.jpg", *(f"other{number}.jpg" for number in range(5)), "readme.txt")
    manifest = open_source(f"folder:{tmp_path}/{{vehicle_id}}_{{camera_id}}.jpg")
    assert len(manifest) == 1
    assert manifest.warnings == (
        (
            "5 pictures do not match '{vehicle_id}_{camera_id}.jpg' and are left out: "
            "other0.jpg, other1.jpg, other2.jpg and 2 more"
        ),
    )


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("{vehicle}_{camera_id}.jpg", "unknown field {vehicle}; did you mean {vehicle_id}?"),
        ("{brand}.jpg", "unknown field {brand}; known are vehicle_id, camera_id, split, time, track_id"),
        ("{path}.jpg", "unknown field {path}"),
        ("{vehicle_id}_{camera_id}", "ends in a field, which would take the suffix in; end it with .jpg or .*"),
        ("a**/{vehicle_id}.jpg", "** must stand alone between slashes; inside a name use *"),
        ("{vehicle_id.jpg", "has a brace without its partner"),
        ("vehicle_id}{camera_id}.jpg", "has a brace without its partner"),
        ("{vehicle_id}-{camera_id}.jpg", "matches none of the 1 pictures in"),
    ],
)
def test_wrong_patterns_are_refused(tmp_path, pattern, sentence):
    touch(tmp_path, "v1_c1.jpg")
    with pytest.raises(SamecarError, match=re.escape(sentence)):
        read(tmp_path, pattern)


def test_a_pattern_that_matches_nothing_shows_what_names_are_like(tmp_path):
    touch(tmp_path, "a.jpg", "b.jpg")
    with pytest.raises(
        SamecarError, match=r"pattern '\{vehicle_id\}_x.jpg' matches none .* names are like a.jpg, b.jpg"
    ):
        read(tmp_path, "{vehicle_id}_x.jpg")


def test_empty_and_absent_folders_and_files_are_refused(tmp_path):
    with pytest.raises(SamecarError, match=r"holds no pictures; it needs files that end in .jpg"):
        open_source(f"folder:{tmp_path}")
    with pytest.raises(SamecarError, match="none is not there; give the folder"):
        open_source(f"folder:{tmp_path}/none/{{vehicle_id}}.jpg")
    touch(tmp_path, "a.jpg")
    with pytest.raises(SamecarError, match=r"a.jpg is a file; give the folder"):
        open_source(f"folder:{tmp_path}/a.jpg")


def test_relative_and_home_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, "v1_c1.jpg")
    assert open_source("folder:{vehicle_id}_{camera_id}.jpg").absolute_path(0).resolve() == tmp_path / "v1_c1.jpg"
    assert open_source("folder:~/{vehicle_id}_{camera_id}.jpg").root == tmp_path
    assert open_source("folder:.").root == Path()


def test_the_rows_do_not_depend_on_the_order_of_the_listing(painted_source, monkeypatch):
    digest, paths = open_source(painted_source).digest, open_source(painted_source).path.tolist()
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: nullcontext(list(scandir(folder))[::-1]))
    assert open_source(painted_source).path.tolist() == paths
    assert open_source(painted_source).digest == digest


def test_painted_pictures_are_found(tmp_path):
    paint_picture(tmp_path / "v1_c1.webp", 1, 1, 0)
    assert read(tmp_path, "{vehicle_id}_{camera_id}.*", "camera_id") == [("c1",)]
