import pytest

from samecar.data import open_source
from samecar.errors import SamecarError


def labels(*items):
    """A file of labels in the form of the set, whose declared encoding Python's parser does not know."""
    lines = "".join(f"<Item {item} />" for item in items)
    return f'<?xml version="1.0" encoding="gb2312"?>\n<TrainingImages><Items>{lines}</Items></TrainingImages>'


@pytest.fixture
def folder(tmp_path):
    for place, names in {"image_train": (1, 2, 3), "image_query": (1,), "image_test": (1, 2)}.items():
        (tmp_path / place).mkdir()
        for name in names:
            (tmp_path / place / f"{name:06d}.jpg").touch()
    items = [
        f'imageName="00000{name}.jpg" vehicleID="{vehicle}" cameraID="{camera}"'
        for name, vehicle, camera in ((1, "0241", "c016"), (2, "0241", "c017"), (3, "0007", "c016"))
    ]
    (tmp_path / "train_label.xml").write_text(labels(*items))
    (tmp_path / "train_track.txt").write_text("000001.jpg 000002.jpg \n000003.jpg \n")
    (tmp_path / "query_label.xml").write_text(labels('imageName="000001.jpg" cameraID="c006"'))
    return tmp_path


def test_train_pictures_have_labels_and_tracks_and_test_pictures_what_is_public(folder):
    manifest = open_source(f"cityflow:{folder}")
    assert manifest.rows(("path", "vehicle_id", "camera_id", "track_id", "split")) == [
        ("image_train/000001.jpg", "0241", "c016", "1", "train"),
        ("image_train/000002.jpg", "0241", "c017", "1", "train"),
        ("image_train/000003.jpg", "0007", "c016", "2", "train"),
        ("image_query/000001.jpg", "", "c006", "", "query"),
        ("image_test/000001.jpg", "", "", "", "gallery"),
        ("image_test/000002.jpg", "", "", "", "gallery"),
    ]
    (warning,) = manifest.warnings
    assert warning == (
        "3 test pictures have no vehicle, as their labels are not public; to score a run, hold train vehicles out with "
        "`samecar train --validation 0.1`: image_query/000001.jpg, image_test/000001.jpg, image_test/000002.jpg"
    )


def test_test_labels_are_read_where_somebody_has_them(folder):
    known = ('imageName="000001.jpg" vehicleID="9" cameraID="c1"', 'imageName="000002.jpg" vehicleID="8" cameraID="c2"')
    (folder / "test_label.xml").write_text(labels(*known))
    (folder / "query_label.xml").write_text(labels('imageName="000001.jpg" vehicleID="9" cameraID="c3"'))
    manifest = open_source(f"cityflow:{folder}")
    assert manifest.vehicle_id[3:].tolist() == ["9", "9", "8"]
    assert manifest.warnings == ()


def test_labels_tracks_and_pictures_that_do_not_fit_are_warnings(folder):
    (folder / "image_train" / "000002.jpg").rename(folder / "image_train" / "000009.jpg")
    warnings = open_source(f"cityflow:{folder}").warnings
    assert warnings[:3] == (
        "1 names of train_track.txt have no picture: 000002.jpg",
        "1 pictures of image_train have no label in train_label.xml: 000009.jpg",
        "1 labels of train_label.xml have no picture and are left out: 000002.jpg",
    )


def test_train_pictures_are_enough(folder):
    for place in ("image_query", "image_test"):
        (folder / place).rename(folder / f"{place}_elsewhere")
    (folder / "query_label.xml").unlink()
    assert open_source(f"cityflow:{folder}").split_counts == {"train": 3, "query": 0, "gallery": 0}


def test_other_folders_and_damaged_labels_are_refused(folder, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(SamecarError, match=r"is not CityFlow-ReID: it lacks image_train and train_label.xml; give"):
        open_source(f"cityflow:{empty}")
    (folder / "train_label.xml").write_text("<Items>")
    with pytest.raises(SamecarError, match=r"labels .*train_label.xml are not XML"):
        open_source(f"cityflow:{folder}")
