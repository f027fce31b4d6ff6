"""One picture in several rows: by its path, or by its bytes."""

import os

import numpy as np

from samecar.data import Manifest
from samecar.data.copies import name_pictures


def manifest(folder, rows):
    columns = ("path", "vehicle_id", "camera_id", "split")
    return Manifest.from_rows(folder, [dict(zip(columns, row, strict=True)) for row in rows])


def groups(names):
    """Rows by name."""
    return sorted(np.flatnonzero(names == name).tolist() for name in np.unique(names))


def test_a_path_is_one_picture_however_it_is_written(tmp_path):
    rows = [
        ("a.jpg", "1", "", "query"),
        ("./b/../a.jpg", "1", "", "gallery"),
        (str(tmp_path / "a.jpg"), "1", "", "train"),
    ]
    names = name_pictures(manifest(tmp_path, rows))
    assert names.tolist() == [str(tmp_path / "a.jpg")] * 3


def test_files_of_a_vehicle_with_the_same_bytes_are_one_picture(tmp_path):
    contents = {"a": b"first", "b": b"first", "c": b"other", "d": b"longer one", "e": b"first"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    os.link(tmp_path / "d", tmp_path / "f")
    (tmp_path / "g").symlink_to(tmp_path / "d")
    rows = [(name, "2" if name == "e" else "1", "", "gallery") for name in "abcdefg"]
    names = name_pictures(manifest(tmp_path, rows))
    assert groups(names) == [[0, 1], [2], [3, 5, 6], [4]]
    assert names[0] == str(tmp_path / "a")


def test_files_that_are_not_there_or_empty_are_copies_of_nothing(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    names = name_pictures(manifest(tmp_path, [(name, "1", "", "gallery") for name in ("a", "b", "x", "y\0")]))
    assert len(set(names.tolist())) == 4
