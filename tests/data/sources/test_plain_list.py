import pytest

from samecar.data import open_source
from samecar.errors import SamecarError

COLUMNS = ("path", "vehicle_id", "camera_id", "split")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a/1.jpg 7 cam1\na/2.png 8 cam2\n", [("a/1.jpg", "7", "cam1", "train"), ("a/2.png", "8", "cam2", "train")]),
        ("\ufeff1.jpg  07\r\n\r\n  2.jpg 7 \r\n", [("1.jpg", "07", "", "train"), ("2.jpg", "7", "", "train")]),
        (
            "my car.jpg\t7\tnorth gate\nb.jpg\t8\t2",
            [("my car.jpg", "7", "north gate", "train"), ("b.jpg", "8", "2", "train")],
        ),
        (
            "a\\1.jpg 7 1 query\na\\2.jpg 7 2 gallery",
            [("a/1.jpg", "7", "1", "query"), ("a/2.jpg", "7", "2", "gallery")],
        ),
        ("/far/1.JPG 7 1", [("/far/1.JPG", "7", "1", "train")]),
    ],
)
def test_lines_are_path_vehicle_camera_and_split(tmp_path, text, rows):
    (tmp_path / "pictures.txt").write_text(text)
    manifest = open_source(f"list:{tmp_path / 'pictures.txt'}")
    assert manifest.rows(COLUMNS) == rows
    assert (manifest.root, manifest.file, manifest.name) == (tmp_path, "pictures.txt", "list:pictures.txt")


def test_lists_of_a_folder_tell_the_splits(tmp_path):
    (tmp_path / "train.txt").write_text("a.jpg 1 1")
    (tmp_path / "query.txt").write_text("b.jpg 2 1")
    manifest = open_source(f"list:{tmp_path}")
    assert manifest.rows(COLUMNS) == [("a.jpg", "1", "1", "train"), ("b.jpg", "2", "1", "query")]
    (tmp_path / "gallery.txt").write_text("b.jpg 2 2\nc.jpg 2 3")
    assert open_source(f"list:{tmp_path}").split_counts == {"train": 1, "query": 1, "gallery": 2}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "pictures.txt is empty; each line must be PATH VEHICLE, PATH VEHICLE CAMERA or"),
        ("a.jpg", "has the line 'a.jpg'; each line must be PATH VEHICLE, "),
        ("a.jpg 1 1 train 5", "has the line 'a.jpg 1 1 train 5'; each line must be"),
        ("path id camera\na.jpg 1 1", "has the line 'path id camera'; each line must be"),
        ("0000001 1", "has the line '0000001 1'; each line must be"),
        ("a.jpg 1 1\nb.jpg 1", "the line 'b.jpg 1' of 2 words, and its first line has 3; give each line as many"),
        ("a.jpg 1 1\nmy car.jpg 1 1", "'my car.jpg 1 1' of 4 words, and its first line has 3; .* tabs between them"),
        ("a.jpg 1 1 test", "split of picture 'a.jpg' is 'test'; it must be one of train, query, gallery"),
        ("a.jpg 1 1\na.jpg 1 2", "picture 'a.jpg' stands twice in split train"),
    ],
)
def test_lines_of_another_form_are_refused(tmp_path, text, sentence):
    (tmp_path / "pictures.txt").write_text(text)
    with pytest.raises(SamecarError, match=sentence):
        open_source(f"list:{tmp_path / 'pictures.txt'}")


def test_a_folder_without_lists_is_refused(tmp_path):
    with pytest.raises(SamecarError, match=r"holds no list; it needs train.txt, query.txt or gallery.txt, or give"):
        open_source(f"list:{tmp_path}")
