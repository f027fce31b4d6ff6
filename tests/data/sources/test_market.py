import pytest

from samecar.data import open_source
from samecar.errors import SamecarError
from samecar.evaluation.test_sets import protocol_of

NAMES = {
    "bounding_box_train": ("0002_c1s1_000451_03.jpg", "0002_c12s3_000001_00.jpg"),
    "query": ("0003_c2_f0046182.png",),
    "bounding_box_test": ("-1_c1s1_000401_03.jpg", "0000_c1s1_000151_01.jpg", "van 7_c3.jpg"),
}


@pytest.fixture
def folder(tmp_path):
    for place, names in NAMES.items():
        (tmp_path / place).mkdir()
        for name in names:
            (tmp_path / place / name).touch()
    return tmp_path


def test_vehicles_and_cameras_come_from_the_names_and_splits_from_the_folders(folder):
    manifest = open_source(f"market:{folder}")
    assert manifest.rows(("path", "vehicle_id", "camera_id", "split")) == [
        ("bounding_box_train/0002_c12s3_000001_00.jpg", "0002", "c12", "train"),
        ("bounding_box_train/0002_c1s1_000451_03.jpg", "0002", "c1", "train"),
        ("query/0003_c2_f0046182.png", "0003", "c2", "query"),
        ("bounding_box_test/-1_c1s1_000401_03.jpg", "-1", "c1", "gallery"),
        ("bounding_box_test/0000_c1s1_000151_01.jpg", "0000", "c1", "gallery"),
        ("bounding_box_test/van 7_c3.jpg", "van 7", "c3", "gallery"),
    ]
    assert (manifest.source, manifest.warnings) == ("market", ())
    assert protocol_of(manifest).name == "market"


def test_what_is_left_out_is_counted_and_named(folder):
    for name in ("0002.jpg", "0002_1.jpg", "0002_c1x.jpg", "_c1.jpg"):
        (folder / "query" / name).touch()
    (folder / "bounding_box_train").rename(folder / "elsewhere")
    manifest = open_source(f"market:{folder}")
    assert manifest.split_counts == {"train": 0, "query": 1, "gallery": 3}
    absence, names = manifest.warnings
    assert absence == f"{folder} has no bounding_box_train; only query and bounding_box_test was read"
    assert names == (
        "4 pictures of query have names of another form and are left out: 0002.jpg, 0002_1.jpg, 0002_c1x.jpg and 1 more"
    )


def test_other_folders_are_refused(folder, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(SamecarError, match=r"is not in the layout of Market-1501: it has none of bounding_box"):
        open_source(f"market:{empty}")
    (empty / "query").mkdir()
    with pytest.raises(SamecarError, match=r"no picture with a name like 0002_c1s1_000451_03.jpg; found were none at"):
        open_source(f"market:{empty}")
    (empty / "query" / "car.jpg").touch()
    with pytest.raises(SamecarError, match=r"found were car\.jpg"):
        open_source(f"market:{empty}")
