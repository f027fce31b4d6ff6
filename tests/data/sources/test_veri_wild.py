import os
from pathlib import Path

import pytest

from samecar.data import open_source
from samecar.errors import SamecarError

HEADER = "id/image;Camera ID;Time;Model;Type;Color"
LINES = [
    "11/101;3;2018-03-12 09:00:00;Volkswagen;sedan;white",
    "12/102;4;2018-03-12 09:00:01;Wuling; minivan;dark gray",
    "12/103;5;2018-03-12 09:00:02;Wuling;minivan;dark gray",
]


@pytest.fixture
def wild(tmp_path):
    (tmp_path / "images").mkdir()
    lists = tmp_path / "train_test_split"
    lists.mkdir()
    (lists / "train_list.txt").write_text("11/101\n")
    for count in (3000, 5000, 10000):
        (lists / f"test_{count}_query.txt").write_text("12/102\n")
        (lists / f"test_{count}.txt").write_text("12/103.jpg\n")
    (lists / "vehicle_info.txt").write_text("\n".join([HEADER, *LINES]))
    return tmp_path


EXPECTED = [
    ("images/11/101.jpg", "11", "3", "train", "2018-03-12 09:00:00", "white", "sedan"),
    ("images/12/102.jpg", "12", "4", "query", "2018-03-12 09:00:01", "dark gray", "minivan"),
    ("images/12/103.jpg", "12", "5", "gallery", "2018-03-12 09:00:02", "dark gray", "minivan"),
]
COLUMNS = ("path", "vehicle_id", "camera_id", "split", "time", "colour", "type")


@pytest.mark.parametrize(
    ("name", "count", "gallery"),
    [("veri_wild", 3000, "38,861"), ("veri_wild_medium", 5000, "64,389"), ("veri_wild_large", 10000, "128,517")],
)
def test_lists_and_info_are_read(wild, name, count, gallery):
    for other in {3000, 5000, 10000} - {count}:
        (wild / "train_test_split" / f"test_{other}.txt").unlink()
    manifest = open_source(f"{name}:{wild}")
    assert manifest.source == name
    assert manifest.rows(COLUMNS) == EXPECTED
    assert manifest.warnings == (
        "train has 1 pictures, 1 vehicles; published are 277,797 pictures, 30,671 vehicles",
        f"query has 1 pictures, 1 vehicles; published are {count:,} pictures, {count:,} vehicles",
        f"gallery has 1 pictures, 1 vehicles; published are {gallery} pictures, {count:,} vehicles",
    )


def test_info_without_a_header_is_understood(wild):
    info = wild / "train_test_split" / "vehicle_info.txt"
    info.write_text("\n".join(LINES))
    assert open_source(f"veri_wild:{wild}").rows(COLUMNS) == EXPECTED
    info.unlink()
    for name, line in (("train_list", 0), ("test_3000_query", 1), ("test_3000", 2)):
        key, camera, _, *rest = LINES[line].split(";")
        (wild / f"{name}_info.txt").write_text(";".join([key, camera, *rest]))
    expected = [(*row[:4], "", *row[5:]) for row in EXPECTED]
    assert open_source(f"veri_wild:{wild}").rows(COLUMNS) == expected


def test_test_pictures_need_a_camera_and_train_pictures_do_not(wild):
    info = wild / "train_test_split" / "vehicle_info.txt"
    info.write_text("\n".join([HEADER, *LINES[1:]]))
    manifest = open_source(f"veri_wild:{wild}")
    assert manifest.camera_id.tolist() == ["", "4", "5"]
    assert manifest.warnings[0] == "1 train pictures have no camera, which training does not need"
    info.write_text("")
    with pytest.raises(
        SamecarError, match=r"names no camera for 2 test pictures \(images/12/102.jpg, images/12/103.jpg\)"
    ):
        open_source(f"veri_wild:{wild}")


def test_lists_without_pictures_are_enough_to_look_at(wild):
    (wild / "images").rmdir()
    manifest = open_source(f"veri_wild:{wild}")
    assert manifest.rows(COLUMNS) == EXPECTED
    assert manifest.warnings[0] == (
        f"{wild} holds the lists of VERI-Wild without its pictures; only the lists were read"
    )


def test_missing_lists_and_wrong_lines_are_refused(wild):
    lists = wild / "train_test_split"
    (lists / "vehicle_info.txt").write_text(f"{HEADER}\n11/101;3;white")
    with pytest.raises(SamecarError, match=r"has the line '11/101;3;white'; each line must be like 20342/209528;23;"):
        open_source(f"veri_wild:{wild}")
    (lists / "vehicle_info.txt").write_text("\n".join(LINES))
    for line in ("11", "11/", "/101", "11/101 3"):
        (lists / "train_list.txt").write_text(line)
        with pytest.raises(SamecarError, match=f"has the line '{line}'; each line must be VEHICLE/NAME"):
            open_source(f"veri_wild:{wild}")
    (lists / "test_3000_query.txt").unlink()
    (lists / "train_list.txt").write_text("11/101")
    with pytest.raises(SamecarError, match=r"lacks test_3000_query.txt; it belongs into train_test_split or beside it"):
        open_source(f"veri_wild:{wild}")


@pytest.mark.real_data
def test_the_published_lists_have_the_published_counts():
    manifest = open_source(f"veri_wild:{Path(os.environ['SAMECAR_TEST_DATA']) / 'veri-wild-lists'}")
    assert manifest.split_counts == {"train": 277797, "query": 3000, "gallery": 38861}
    assert not [sentence for sentence in manifest.warnings if "published" in sentence]
    assert (manifest.of_split("gallery").colour != "").all()


def test_archives_that_were_unpacked_one_by_one_are_found(wild):
    lying = {
        "11/101": "images/images.part01/images/11/101.jpg",
        "12/102": "images/images.part01/images/12/102.jpg",
        "12/103": "images/images.part02/images/12/103.jpg",
    }
    for path in lying.values():
        (wild / path).parent.mkdir(parents=True, exist_ok=True)
        (wild / path).touch()
    manifest = open_source(f"veri_wild:{wild}")
    assert manifest.path.tolist() == list(lying.values())
    assert manifest.vehicle_id.tolist() == ["11", "12", "12"]
    again = wild / "images/images.part03/12/103.jpg"
    again.parent.mkdir(parents=True)
    again.touch()
    manifest = open_source(f"veri_wild:{wild}")
    assert manifest.path.tolist() == list(lying.values())
    assert manifest.warnings[0] == ("1 pictures lie there again and are left out: images/images.part03/12/103.jpg")
    (wild / "images").rename(wild / "parts")
    manifest = open_source(f"veri_wild:{wild}")
    assert manifest.path.tolist() == [path.replace("images/", "parts/", 1) for path in lying.values()]
    assert "without its pictures" not in " ".join(manifest.warnings)


def test_a_set_that_lies_deeper_is_named(wild):
    with pytest.raises(SamecarError, match=f"lacks train_list.txt; .*; it lies in {wild}, which is to be given"):
        open_source(f"veri_wild:{wild.parent}")
