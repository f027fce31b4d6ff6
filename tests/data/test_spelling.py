import numpy as np
import pytest

from samecar.data import Manifest, check, open_source
from samecar.data.spelling import label_warnings, names_like, similar_names, similar_paths


@pytest.mark.parametrize(
    "names",
    [
        ("cam1", "Cam1"),
        ("1", "01"),
        ("1", "1.0"),
        ("cam 1", "cam_1", "cam-1", "cam1"),
        ("ABC-123", "abc 123"),
        ("Straße", "STRASSE"),
        ("\uff11", "1"),
        ("x", "x\u200b"),
        ("0", "00"),
    ],
)
def test_names_that_look_alike(names):
    assert similar_names([*names, "other", ""]) == [sorted(names)]
    for name in names:
        assert names_like(name, [*names, "other", ""]) == sorted(set(names) - {name})


@pytest.mark.parametrize(
    "names",
    [
        ("1", "-1"),
        ("1", "10", "11", "1-1"),
        ("1.1", "1.10"),
        ("a1", "b1"),
        ("AB-C123", "ABC-123"),
        ("cam1", "1"),
        ("A", "A+"),
        ("0001", "0010"),
        ("c001_2", "c001_20"),
        (),
        ("",),
    ],
)
def test_names_that_do_not(names):
    assert similar_names(names) == []


def test_a_camera_may_have_the_word_before_its_number_or_not():
    assert similar_names(["c001", "cam1", "Camera 1", "1", "2", "cam3", "cathedral", "carpark"], cameras=True) == [
        ["1", "Camera 1", "c001", "cam1"]
    ]


def manifest(cameras, vehicles=None, paths=None):
    count = len(cameras)
    return Manifest(
        "pictures",
        np.array(paths or [f"{row}.jpg" for row in range(count)]),
        np.array(vehicles or ["v"] * count),
        np.array(cameras),
        np.full(count, "train"),
    )


def test_each_kind_of_label_is_named_with_its_spellings():
    (sentence,) = label_warnings(manifest(["cam1", "Cam1", "cam2"]))
    assert sentence == (
        "1 cameras are probably spelled in several ways, and count as different ones: 'Cam1' = 'cam1'; "
        "spell each in one way"
    )
    (sentence,) = label_warnings(manifest(["c"] * 5, ["1", "1.0", "2", "02", "3"]))
    assert sentence.startswith("2 vehicles are probably spelled in several ways")
    assert "'02' = '2', '1' = '1.0'" in sentence
    (sentence,) = label_warnings(manifest(["c"] * 3, paths=["a/B.jpg", "A/b.jpg", "a/c.jpg"]))
    assert sentence == "1 paths differ only in case or in how letters are composed: 'A/b.jpg' = 'a/B.jpg'"
    assert not list(label_warnings(manifest(["cam1", "cam1", "cam2"])))


def test_as_many_cameras_as_pictures_are_hardly_meant():
    (sentence,) = label_warnings(manifest([f"{1000 + row}" for row in range(30)]))
    assert sentence.startswith("30 cameras for 30 pictures are hardly meant")
    assert not list(label_warnings(manifest([f"{1000 + row // 2}" for row in range(30)])))
    assert not list(label_warnings(manifest([f"{1000 + row}" for row in range(10)])))
    assert not list(label_warnings(manifest([""] * 30)))


def test_sources_and_check_warn_once(tmp_path):
    for name in ("v1_cam1.jpg", "v1_Cam1.jpg", "v2_cam2.jpg"):
        (tmp_path / name).touch()
    opened = open_source(f"folder:{tmp_path}/{{vehicle_id}}_{{camera_id}}.jpg")
    assert sum("cameras are probably" in sentence for sentence in opened.warnings) == 1
    for given in (opened, manifest(["cam1", "Cam1", "cam2"])):
        found = [finding for finding in check(given).findings if "cameras are probably" in finding.sentence]
        assert [finding.severity for finding in found] == ["warning"]


def test_paths_that_differ_in_case_are_found(tmp_path):
    (tmp_path / "Img").mkdir()
    (tmp_path / "Img" / "cafe\u0301.JPG").touch()
    given = ["img/caf\u00e9.jpg", "img/none.jpg", "img", "/img/a.jpg", "Img/cafe\u0301.JPG/x"]
    assert similar_paths(tmp_path, given) == {"img/caf\u00e9.jpg": "Img/cafe\u0301.JPG"}
    assert similar_paths(tmp_path / "none", given) == {}
