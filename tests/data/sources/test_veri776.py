import os
from pathlib import Path

import pytest

from samecar.data import open_source
from samecar.errors import SamecarError

TRAIN = ["0001_c001_00016450_0.jpg", "0001_c002_00016885_0.jpg", "0003_c001_00016460_0.jpg"]
GALLERY = [
    "0002_c001_00000100_0.jpg",
    "0002_c002_00000200_0.jpg",
    "0002_c002_00000205_1.jpg",
    "0005_c001_00000300_0.jpg",
    "0005_c003_00000400_0.jpg",
]
QUERY = ["0002_c002_00000200_0.jpg", "0005_c001_00000300_0.jpg"]
GT_INDEX = "1 \r\n5 \r\n"
JK_INDEX = "2 3 \r\n4 \r\n"


def label(name, colour=5, kind=2, vehicle=None, camera=None):
    return (
        f'<Item imageName="{name}" vehicleID="{vehicle or name[:4]}" cameraID="{camera or name[5:9]}" '
        f'colorID="{colour}" typeID="{kind}" />'
    )


def labels(*items):
    text = '<?xml version="1.0" encoding="gb2312" ?>\r\n<TrainingImages Version="1.0"><!-- 车辆 --><Items>'
    return (text + "\n".join(items) + "</Items></TrainingImages>").encode("gb2312")


@pytest.fixture
def veri(tmp_path):
    """The whole layout, with two test vehicles."""
    root = tmp_path / "0009_c009"  # a parent folder that looks like a name
    for folder, names in (("image_train", TRAIN), ("image_query", QUERY), ("image_test", GALLERY)):
        (root / folder).mkdir(parents=True)
        for name in names:
            (root / folder / name).write_bytes(b"")
        (root / f"name_{folder.removeprefix('image_')}.txt").write_text("\n".join(names) + "\n")
    (root / "train_label.xml").write_bytes(labels(*(label(name) for name in TRAIN)))
    (root / "test_label.xml").write_bytes(labels(*(label(name, 10, 8) for name in GALLERY)))
    (root / "gt_index.txt").write_text(GT_INDEX, newline="")
    (root / "jk_index.txt").write_text(JK_INDEX, newline="")
    tracks = [f"{names[0]} {' '.join(names)} " for names in (GALLERY[:1], GALLERY[1:3], GALLERY[3:4], GALLERY[4:])]
    (root / "test_track.txt").write_text("\n".join(tracks))
    (root / "drawn.json").write_text("{}")  # so that counts are not compared
    return root


def warnings_of(root):
    return open_source(f"veri776:{root}").warnings


def test_everything_is_read(veri):
    manifest = open_source(f"veri776:{veri}")
    assert manifest.warnings == ()
    assert manifest.source == "veri776"
    assert manifest.split_counts == {"train": 3, "query": 2, "gallery": 5}
    columns = ("path", "vehicle_id", "camera_id", "split", "time", "track_id", "colour", "type")
    assert manifest.rows(columns)[0] == (
        "image_train/0001_c001_00016450_0.jpg", "0001", "c001", "train", "00016450", "", "red", "suv",
    )  # fmt: skip
    assert manifest.rows(columns)[3] == (
        "image_query/0002_c002_00000200_0.jpg", "0002", "c002", "query", "00000200", "0002_c002_00000200_0",
        "black", "truck",
    )  # fmt: skip
    assert manifest.of_split("gallery").track_id.tolist()[2] == "0002_c002_00000200_0"
    assert manifest.absolute_path(3).is_file()


def test_pictures_alone_are_enough(veri):
    for path in veri.iterdir():
        if path.is_file() and path.name != "drawn.json":
            path.unlink()
    manifest = open_source(f"veri776:{veri}")
    assert manifest.split_counts == {"train": 3, "query": 2, "gallery": 5}
    assert manifest.warnings == ()
    assert set(manifest.colour) == {""}


def test_counts_are_compared_with_the_published_ones(veri):
    (veri / "drawn.json").unlink()
    assert warnings_of(veri) == (
        "train has 3 pictures, 2 vehicles, 2 cameras; published are 37,778 pictures, 576 vehicles, 20 cameras",
        "query has 2 pictures, 2 vehicles, 2 cameras; published are 1,678 pictures, 200 vehicles, 19 cameras",
        "gallery has 5 pictures, 2 vehicles, 3 cameras; published are 11,579 pictures, 200 vehicles, 19 cameras",
    )
    (veri / "drawn.json").write_text("[not JSON")
    assert len(warnings_of(veri)) == 3


def test_lists_without_pictures_give_a_manifest_with_a_warning(veri):
    for folder in ("image_train", "image_query", "image_test"):
        for path in (veri / folder).iterdir():
            path.unlink()
        (veri / folder).rmdir()
    manifest = open_source(f"veri776:{veri}")
    assert manifest.split_counts == {"train": 3, "query": 2, "gallery": 5}
    assert manifest.warnings == (f"{veri} holds the lists of VeRi-776 without its pictures; only the lists were read",)
    (veri / "name_query.txt").unlink()
    with pytest.raises(SamecarError, match="is not VeRi-776: it has none of image_train, image_query, image_test"):
        open_source(f"veri776:{veri}")


def test_a_missing_folder_is_named(veri):
    (veri / "image_query").rename(veri / "elsewhere")
    with pytest.raises(SamecarError, match="is not all of VeRi-776: it lacks image_query"):
        open_source(f"veri776:{veri}")


def test_lists_and_folders_that_differ_are_counted_and_named(veri):
    (veri / "image_train" / TRAIN[1]).rename(veri / "image_train" / "0008_c001_00000001_0.jpg")
    manifest = open_source(f"veri776:{veri}")
    assert manifest.warnings == (
        f"1 names of name_train.txt have no picture and are left out: {TRAIN[1]}",
        "1 pictures are not in name_train.txt and are left out: 0008_c001_00000001_0.jpg",
    )
    assert manifest.of_split("train").path.tolist() == [f"image_train/{name}" for name in (TRAIN[0], TRAIN[2])]


def test_an_absent_gallery_picture_does_not_shift_the_rows_of_index_files(veri):
    (veri / "image_test" / GALLERY[0]).unlink()
    assert warnings_of(veri) == (f"1 names of name_test.txt have no picture and are left out: {GALLERY[0]}",)


def test_lists_may_repeat_names_and_hold_paths(veri):
    text = "".join(f"./image_train\\{name} \r\n\n" for name in (*TRAIN, TRAIN[0]))
    (veri / "name_train.txt").write_text(text, encoding="utf-8-sig", newline="")
    manifest = open_source(f"veri776:{veri}")
    assert manifest.warnings == ("1 lines of name_train.txt repeat a name and are left out",)
    assert manifest.split_counts["train"] == 3


def test_names_of_another_form_are_left_out_with_a_warning(veri):
    (veri / "name_train.txt").unlink()
    for name in ("x0001_c001_00016450_0.jpg", "0001_c1_00016450_0.jpg", "0001_c001_00016450_0.png"):
        (veri / "image_train" / name).write_bytes(b"")
    (veri / "image_train" / "Thumbs.db").write_bytes(b"")
    (sentence,) = warnings_of(veri)
    assert sentence.startswith("3 pictures of train have names of another form and are left out: ")


def test_a_folder_without_such_names_is_refused(veri):
    (veri / "name_query.txt").unlink()
    for name in QUERY:
        (veri / "image_query" / name).rename(veri / "image_query" / f"q{name}")
    with pytest.raises(
        SamecarError, match=f"has no picture with a name of VeRi-776, such as .*; found were q{QUERY[0]}"
    ):
        open_source(f"veri776:{veri}")
    for name in QUERY:
        (veri / "image_query" / f"q{name}").unlink()
    with pytest.raises(SamecarError, match="found were none at all"):
        open_source(f"veri776:{veri}")


def test_type_zero_of_three_vehicles_is_mended(veri):
    (veri / "train_label.xml").write_bytes(labels(*(label(name, kind=0) for name in TRAIN)))
    manifest = open_source(f"veri776:{veri}")
    assert manifest.of_split("train").type.tolist() == ["", "", "suv"]
    assert manifest.warnings == (
        "train_label.xml gives no type for vehicles 0003; they are taken as suv",
        f"2 labels of train_label.xml have no known type: {TRAIN[0]}, {TRAIN[1]}",
    )


def test_colours_and_types_are_numbered_as_published(veri):
    words = []
    for number in range(12):
        (veri / "train_label.xml").write_bytes(labels(*(label(name, number, number) for name in TRAIN[:1])))
        row = open_source(f"veri776:{veri}").select([0])
        words.append((row.colour[0], row.type[0]))
    assert words == [
        ("", ""),
        ("yellow", "sedan"),
        ("orange", "suv"),
        ("green", "van"),
        ("gray", "hatchback"),
        ("red", "mpv"),
        ("blue", "pickup"),
        ("white", "bus"),
        ("golden", "truck"),
        ("brown", "estate"),
        ("black", ""),
        ("", ""),
    ]


def test_labels_that_disagree_with_names_or_lack_are_named(veri):
    (veri / "train_label.xml").write_bytes(labels(label(TRAIN[0], vehicle="0007"), label(TRAIN[1], camera="c009")))
    manifest = open_source(f"veri776:{veri}")
    assert manifest.warnings == (
        f"1 pictures of train have no label: {TRAIN[2]}",
        f"2 labels of train name another vehicle or camera than the file name, which counts: {TRAIN[0]}, {TRAIN[1]}",
    )
    assert manifest.vehicle_id[0] == "0001"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<Items><Item", "are not XML .*; replace the file, or remove it"),
        (b"", "are not XML"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><Items>&a;</Items>', "declare a document type"),
    ],
)
def test_broken_labels_are_refused(veri, content, sentence):
    (veri / "test_label.xml").write_bytes(content)
    with pytest.raises(SamecarError, match=f"labels .*test_label.xml {sentence}"):
        open_source(f"veri776:{veri}")


@pytest.mark.parametrize("kind", ["gt", "jk"])
@pytest.mark.parametrize("name", ["{}_index.txt", "{}_image.txt"])
def test_index_files_that_disagree_name_the_first_query(veri, kind, name):
    path = veri / name.format(kind)
    lines = {"gt": GT_INDEX, "jk": JK_INDEX}[kind].split("\r\n")
    path.write_text(f"{lines[0]}\n{lines[1]} 1\n")
    assert warnings_of(veri) == (
        f"{path.name} disagrees with the file names for 1 of 2 queries; the names count: {QUERY[1]}",
    )
    path.write_text(f"{lines[0]}\n")
    assert warnings_of(veri) == (f"{path.name} has 1 lines for 2 queries; it is not checked",)
    path.write_text(f"{lines[0]}\n999\n")
    assert f"for 1 of 2 queries; the names count: {QUERY[1]}" in warnings_of(veri)[0]


def test_index_files_may_hold_names_and_empty_lines(veri):
    (veri / "gt_index.txt").unlink()
    (veri / "gt_image.txt").write_text(f"{GALLERY[0]}\nimage_test/{GALLERY[4]}\n\n")
    assert warnings_of(veri) == ()


def test_a_query_without_a_match_has_an_empty_line(veri):
    (veri / "name_test.txt").write_text("\n".join(GALLERY[:4]))
    (veri / "image_test" / GALLERY[4]).unlink()
    (veri / "gt_index.txt").write_text("1\n\n")
    (veri / "test_track.txt").unlink()
    (veri / "test_label.xml").unlink()
    assert warnings_of(veri) == ()
    (veri / "gt_index.txt").write_text("\n1\n")
    assert "disagrees with the file names for 2 of 2 queries" in warnings_of(veri)[0]


def test_tracks_that_mix_vehicles_or_lack_pictures_are_named(veri):
    (veri / "test_track.txt").write_text(f"T1 {GALLERY[0]} {GALLERY[1]} unknown.jpg\nT2 {GALLERY[1]} {GALLERY[2]}\n")
    manifest = open_source(f"veri776:{veri}")
    assert manifest.of_split("gallery").track_id.tolist() == ["T1", "T1", "T2", "", ""]
    assert manifest.warnings == (
        "1 tracks of test_track.txt mix vehicles or cameras: T1",
        f"2 pictures of gallery are in no track of test_track.txt: {GALLERY[3]}, {GALLERY[4]}",
    )


def test_a_set_of_other_names_or_that_lies_deeper_is_told(veri, tmp_path_factory):
    with pytest.raises(SamecarError, match=f"it lies in {veri}, which is to be given"):
        open_source(f"veri776:{veri.parent}")
    city = tmp_path_factory.mktemp("city")
    for split in ("train", "query", "test"):
        (city / f"image_{split}").mkdir()
        (city / f"image_{split}" / "000001.jpg").touch()
    with pytest.raises(SamecarError, match=r"found were 000001.jpg; another set in this layout, such as CityFlow-ReID"):
        open_source(f"veri776:{city}")


def test_a_list_that_is_no_text_is_refused(veri):
    (veri / "name_train.txt").write_bytes(b"\xff\xd8\x00\x01")
    with pytest.raises(SamecarError, match=r"name_train.txt cannot be read as text"):
        open_source(f"veri776:{veri}")


@pytest.mark.real_data
def test_the_published_lists_agree_with_each_other():
    folder = Path(os.environ["SAMECAR_TEST_DATA"]) / "veri776-lists"
    manifest = open_source(f"veri776:{folder}")
    assert manifest.split_counts == {"train": 37778, "query": 1678, "gallery": 11579}
    assert [sentence.partition(" holds ")[2] for sentence in manifest.warnings] == [
        "the lists of VeRi-776 without its pictures; only the lists were read"
    ]
    assert (manifest.of_split("gallery").colour != "").all()
