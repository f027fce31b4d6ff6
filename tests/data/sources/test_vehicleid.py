import os
from pathlib import Path

import pytest

from samecar.data import open_source
from samecar.errors import SamecarError


@pytest.fixture
def vehicleid(tmp_path):
    (tmp_path / "image").mkdir()
    (tmp_path / "train_test_split").mkdir()
    (tmp_path / "attribute").mkdir()
    (tmp_path / "train_test_split" / "train_list.txt").write_text("0000001 11\n0000002 12\n")
    for count in (800, 1600, 2400):
        lines = [f"{count:07d} {count}", f"{count + 1:07d} {count}"]
        (tmp_path / "train_test_split" / f"test_list_{count}.txt").write_text("\r\n".join(lines))
    (tmp_path / "attribute" / "model_attr.txt").write_text("11 3\n1600 7\n")
    (tmp_path / "attribute" / "color_attr.txt").write_text("11 0\n")
    return tmp_path


@pytest.mark.parametrize(("name", "count"), [("vehicleid", 800), ("vehicleid_1600", 1600), ("vehicleid_2400", 2400)])
def test_lists_are_read(vehicleid, name, count):
    manifest = open_source(f"{name}:{vehicleid}")
    assert manifest.source == name
    assert manifest.rows(("path", "vehicle_id", "camera_id", "split", "colour", "type")) == [
        ("image/0000001.jpg", "11", "", "train", "0", "3"),
        ("image/0000002.jpg", "12", "", "train", "", ""),
        (f"image/{count:07d}.jpg", str(count), "", "gallery", "", "7" if count == 1600 else ""),
        (f"image/{count + 1:07d}.jpg", str(count), "", "gallery", "", "7" if count == 1600 else ""),
    ]


def test_counts_that_differ_are_a_warning_where_they_were_verified(vehicleid):
    (sentence,) = open_source(f"vehicleid:{vehicleid}").warnings
    assert sentence == "gallery has 2 pictures, 1 vehicles; published are 6,493 pictures, 800 vehicles"
    assert open_source(f"vehicleid_1600:{vehicleid}").warnings == ()


def test_missing_lists_are_named(vehicleid):
    (vehicleid / "train_test_split" / "test_list_800.txt").unlink()
    with pytest.raises(SamecarError, match=r"lacks test_list_800.txt, in train_test_split or beside it"):
        open_source(f"vehicleid:{vehicleid}")
    (vehicleid / "train_test_split" / "train_list.txt").unlink()
    with pytest.raises(SamecarError, match=r"lacks train_list.txt and test_list_800.txt"):
        open_source(f"vehicleid:{vehicleid}")
    with pytest.raises(SamecarError, match=r"lacks train_list.txt, in"):
        open_source(f"vehicleid_1600:{vehicleid}")


@pytest.mark.parametrize("line", ["0000001", "0000001 11 12"])
def test_lines_of_another_form_are_refused(vehicleid, line):
    (vehicleid / "train_test_split" / "train_list.txt").write_text(line)
    with pytest.raises(SamecarError, match=f"train_list.txt has the line '{line}'; each line must hold two words"):
        open_source(f"vehicleid:{vehicleid}")


def test_lists_alone_are_enough_to_look_at(vehicleid):
    (vehicleid / "image").rmdir()
    (vehicleid / "train_test_split" / "test_list_1600.txt").rename(vehicleid / "test_list_1600.txt")
    (vehicleid / "train_test_split" / "train_list.txt").unlink()
    manifest = open_source(f"vehicleid_1600:{vehicleid}")
    assert manifest.split_counts == {"train": 0, "query": 0, "gallery": 2}
    assert manifest.warnings == (
        f"{vehicleid} holds the lists of VehicleID without its pictures",
        f"{vehicleid} has no train_list.txt; only the test pictures were read",
    )


@pytest.mark.real_data
def test_the_published_test_list_has_the_published_counts():
    manifest = open_source(f"vehicleid:{Path(os.environ['SAMECAR_TEST_DATA']) / 'vehicleid-lists'}")
    assert manifest.split_counts["gallery"] == 6493
    assert not [sentence for sentence in manifest.warnings if "published" in sentence]
