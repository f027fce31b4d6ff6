from pathlib import Path

import pytest

from samecar.data import SOURCES, Manifest, open_source
from samecar.errors import SamecarError


def test_every_source_of_the_documentation_is_known():
    assert list(SOURCES) == [
        "veri776",
        "vehicleid",
        "vehicleid_1600",
        "vehicleid_2400",
        "veri_wild",
        "veri_wild_medium",
        "veri_wild_large",
        "veri_wild_2",
        "veri_wild_2_a",
        "veri_wild_2_b",
        "cityflow",
        "market",
        "folder",
        "list",
        "csv",
    ]


@pytest.fixture
def table(tmp_path):
    row = {"path": "a.jpg", "vehicle_id": "v", "camera_id": "c", "split": "train"}
    Manifest.from_rows(tmp_path, [row]).write(tmp_path / "set.csv")
    return tmp_path / "set.csv"


def test_csv_reads_a_table(table):
    assert open_source(f"csv:{table}").absolute_path(0) == table.parent / "a.jpg"


def test_a_colon_in_the_path_is_part_of_it(table):
    folder = table.parent / "a:b"
    folder.mkdir()
    table.rename(folder / "set.csv")
    assert len(open_source(f"csv:{folder}/set.csv")) == 1


def test_a_path_without_a_name_is_answered_with_the_right_spelling(table):
    with pytest.raises(SamecarError, match=f"source '{table}' has no name; write csv:{table}"):
        open_source(str(table))
    with pytest.raises(SamecarError, match=r"write folder:.*/\{vehicle_id\}_\{camera_id\}.jpg with the pattern"):
        open_source(str(table.parent))
    (table.parent / "set.txt").touch()
    with pytest.raises(SamecarError, match=f"has no name; write list:{table.parent}/set.txt"):
        open_source(str(table.parent / "set.txt"))


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["image_train/"], "veri776"),
        (["image_train/0001_c001_00016450_0.jpg", "train_label.xml"], "veri776"),
        (["image_train/000001.jpg", "train_label.xml"], "cityflow"),
        (["bounding_box_train/", "query/"], "market"),
        (["images/", "train_test_split/test_3000.txt"], "veri_wild"),
        (["images/", "train_test_split/test_3000.txt", "test_split_V2/All_query.txt"], "veri_wild_2"),
        (["image/", "train_test_split/test_list_800.txt"], "vehicleid"),
    ],
)
def test_the_folder_of_a_data_set_is_answered_with_its_source(tmp_path, files, name):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).mkdir(parents=True) if file.endswith("/") else (tmp_path / file).touch()
    with pytest.raises(SamecarError, match=f"has no name; write {name}:{tmp_path}$"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("text", ["veri:x", "veri77:x", "VeRi776:x"])
def test_a_name_nearly_right_is_answered_with_the_right_one(text):
    with pytest.raises(SamecarError, match=r"unknown name; did you mean veri776:PATH\?"):
        open_source(text)


@pytest.mark.parametrize("text", ["nowhere", "folders", "pictures.csv"])
def test_what_is_not_there_is_called_so(text):
    with pytest.raises(SamecarError, match=f"source '{text}' is neither a folder nor a file; give one that is there"):
        open_source(text)
    with pytest.raises(SamecarError, match="source 'folder' has no path; write it after a colon, as in folder:PATH"):
        open_source("folder")


def test_other_names_are_answered_with_all():
    with pytest.raises(SamecarError, match=r"write NAME:PATH, NAME one of veri776, vehicleid, .*, folder, list, csv"):
        open_source("nothing:of/that")


@pytest.mark.parametrize("name", list(SOURCES))
def test_every_source_refuses_no_path_and_an_absent_one(name, tmp_path):
    with pytest.raises(SamecarError, match=f"has no path; write it after the colon, as in {name}:PATH"):
        open_source(f"{name}:")
    with pytest.raises(SamecarError, match="is not there; give the"):
        open_source(f"{name}:{Path(tmp_path, 'none.csv')}")


@pytest.mark.parametrize("name", [*SOURCES, ""])
def test_a_path_that_no_system_takes_is_one_sentence(name):
    text = f"{name}:{'a' * 5000}.csv" if name else "a" * 5000
    with pytest.raises(SamecarError, match=r"cannot be read: File name too long; give a path that can"):
        open_source(text)


def test_the_home_of_nobody_is_not_there():
    with pytest.raises(SamecarError, match=r"manifest ~nobody-at-all/a\.csv is not there"):
        open_source("csv:~nobody-at-all/a.csv")
    with pytest.raises(SamecarError, match=r"source '~nobody-at-all' is neither a folder nor a file"):
        open_source("~nobody-at-all")


def test_reading_a_source_does_not_import_torch(table):
    import subprocess
    import sys

    code = f"from samecar.data import open_source; open_source('csv:{table}')"
    subprocess.run([sys.executable, "-c", f"{code}; import sys; assert 'torch' not in sys.modules"], check=True)


def test_names_that_the_package_does_not_have_are_attribute_errors():
    import samecar.data

    with pytest.raises(AttributeError, match=r"samecar\.data attribute nothing"):
        _ = samecar.data.nothing
    assert all(getattr(samecar.data, name) is not None for name in samecar.data.__all__)
