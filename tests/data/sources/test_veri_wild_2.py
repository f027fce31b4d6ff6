import pytest

from samecar.data import open_source
from samecar.errors import SamecarError
from samecar.evaluation.test_sets import protocol_of


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "test_split_V2").mkdir()
    for number, test_set in enumerate(("All", "A", "B")):
        (tmp_path / "test_split_V2" / f"{test_set}_query.txt").write_text(f"50{number}/1.jpg 50{number} 23\n")
        (tmp_path / "test_split_V2" / f"{test_set}_gallery.txt").write_text(f"50{number}/2.jpg 50{number} 41\n")
    (tmp_path / "train_list_start0.txt").write_text("00001/000001.jpg 0 23\n00002/000003.jpg 1 41\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "vehicle"), [("veri_wild_2", "500"), ("veri_wild_2_a", "501"), ("veri_wild_2_b", "502")]
)
def test_each_test_set_is_read_and_train_vehicles_are_called_as_their_folders(folder, name, vehicle):
    manifest = open_source(f"{name}:{folder}")
    assert manifest.rows(("path", "vehicle_id", "camera_id", "split")) == [
        (f"{vehicle}/1.jpg", vehicle, "23", "query"),
        (f"{vehicle}/2.jpg", vehicle, "41", "gallery"),
        ("00001/000001.jpg", "00001", "23", "train"),
        ("00002/000003.jpg", "00002", "41", "train"),
    ]
    assert (manifest.source, manifest.warnings) == (name, ())
    assert (protocol_of(manifest).name, protocol_of(manifest).published) == ("veri_wild_2", None)


def test_pictures_may_lie_in_images_and_train_lists_of_the_first_set_are_read(folder):
    (folder / "images").mkdir()
    (folder / "train_list_start0.txt").unlink()
    assert open_source(f"veri_wild_2:{folder}").warnings == (
        f"{folder} has no train_list.txt and no train_list_start0.txt; only the test pictures were read",
    )
    (folder / "train_test_split").mkdir()
    (folder / "train_test_split" / "train_list.txt").write_text("00001/000001\n")
    manifest = open_source(f"veri_wild_2:{folder}")
    assert manifest.path.tolist() == ["images/500/1.jpg", "images/500/2.jpg", "images/00001/000001.jpg"]
    assert manifest.of_split("train").camera_id.tolist() == [""]


def test_a_fourth_word_is_left_out_with_a_warning(folder):
    (folder / "test_split_V2" / "A_query.txt").write_text("501/1.jpg 501 23 front\n")
    assert open_source(f"veri_wild_2_a:{folder}").warnings == (
        "words after the third of A_query.txt are left out, such as 'front'",
    )


def test_missing_lists_and_other_lines_are_refused(folder):
    (folder / "test_split_V2" / "A_query.txt").rename(folder / "A_query.txt")
    assert len(open_source(f"veri_wild_2_a:{folder}")) == 4
    (folder / "A_query.txt").write_text("501/1.jpg 501\n")
    with pytest.raises(
        SamecarError, match=r"A_query.txt has the line '501/1.jpg 501'; each line must be FOLDER/NAME V"
    ):
        open_source(f"veri_wild_2_a:{folder}")
    (folder / "A_query.txt").unlink()
    with pytest.raises(SamecarError, match=r"lacks A_query.txt; it belongs into test_split_V2 or beside it"):
        open_source(f"veri_wild_2_a:{folder}")
    (folder / "train_list_start0.txt").write_text("000001 0 23\n")
    with pytest.raises(SamecarError, match=r"has the line '000001 0 23'; each line must begin with VEHICLE/NAME"):
        open_source(f"veri_wild_2:{folder}")
