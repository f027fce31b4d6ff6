import os
from pathlib import Path

import pytest
from conftest import paint_picture

from samecar.data.pictures import UnreadablePictureError
from samecar.errors import SamecarError
from samecar.retrieval.incoming import Incoming, incoming_from, incoming_of_lines
from samecar.retrieval.records import UNREAD, Sighting, picture_content


def taken(source, lines=(), defaults=UNREAD):
    return list(incoming_from(str(source), lines, defaults).pictures)


@pytest.fixture
def crops(tmp_path):
    for name in ("deep/car_1_cam1.jpg", "car_2_cam1.png", "car_3_cam2.png"):
        paint_picture(tmp_path / "crops" / name, 1, 1, 1)
    return tmp_path / "crops"


def test_a_folder_gives_all_its_pictures(crops):
    (crops / "notes.txt").write_text("no picture")
    coming = incoming_from(str(crops), (), Sighting("", camera_id="gate", time=5.0, labels={"lane": "2"}))
    pictures = list(coming.pictures)
    assert coming.total == 3
    assert [Path(picture.known.address).name for picture in pictures] == [
        "car_2_cam1.png",
        "car_3_cam2.png",
        "car_1_cam1.jpg",
    ]
    assert {(picture.known.camera_id, picture.known.time, picture.known.labels["lane"]) for picture in pictures} == {
        ("gate", 5.0, "2")
    }
    assert all(Path(picture.known.address).is_absolute() for picture in pictures)


def test_a_pattern_tells_what_the_options_do_not(crops):
    pictures = taken(f"folder:{crops}/{{vehicle_id}}_{{camera_id}}.png", defaults=Sighting("", camera_id="gate"))
    assert [(picture.known.vehicle_id, picture.known.camera_id) for picture in pictures] == [
        ("car_2", "cam1"),
        ("car_3", "cam2"),
    ]


def test_a_manifest_gives_times_tracks_and_labels(crops):
    table = crops / "table.csv"
    table.write_text(
        "path,vehicle_id,camera_id,split,time,track_id,colour\n"
        "car_2_cam1.png,v,,query,1970-01-01T00:01,t7,red\n"
        "car_3_cam2.png,,cam9,gallery,,,\n"
    )
    defaults = Sighting("", camera_id="gate", time=3.0, labels={"colour": "grey", "lane": "1"})
    for source in (table, f"csv:{table}"):
        first, second = taken(source, defaults=defaults)
        assert (first.known.vehicle_id, first.known.camera_id, first.known.time, first.known.track_id) == (
            "v",
            "gate",
            60.0,
            "t7",
        )
        assert dict(first.known.labels) == {"colour": "red", "lane": "1"}
        assert (second.known.vehicle_id, second.known.camera_id, second.known.time) == ("", "cam9", 3.0)
        assert dict(second.known.labels) == {"colour": "grey", "lane": "1"}


def test_one_picture_may_be_given(crops):
    (picture,) = taken(crops / "car_2_cam1.png")
    assert picture.sighting(picture.read()).content == picture_content((crops / "car_2_cam1.png").read_bytes())


def test_standard_input_is_one_path_a_line():
    pictures = taken("-", ["a b.jpg\n", "\n", "/c.png\n"], Sighting("", camera_id="gate"))
    assert [picture.picture for picture in pictures] == [Path("a b.jpg"), Path("/c.png")]
    assert [picture.known.address for picture in pictures] == [str(Path.cwd() / "a b.jpg"), "/c.png"]
    assert {picture.known.camera_id for picture in pictures} == {"gate"}


def test_standard_input_may_be_a_table():
    lines = ["\ufeffcamera_id,path,time,label:lane,split\n", 'north,"a,b.jpg",1970-01-02,3,query\n', "south,c.jpg,,,\n"]
    first, second = incoming_of_lines(lines)
    assert (first.picture, first.known.camera_id, first.known.time, dict(first.known.labels)) == (
        Path("a,b.jpg"),
        "north",
        86400.0,
        {"lane": "3"},
    )
    assert (second.picture, second.known.camera_id, second.known.time, dict(second.known.labels)) == (
        Path("c.jpg"),
        "south",
        None,
        {},
    )


@pytest.mark.parametrize("header", ['"path","camera_id"', 'path,"camera_id"', '"camera_id","path"', '\ufeff"path"'])
def test_the_header_of_a_table_may_stand_in_quotes(header):
    values = {"path": "a.jpg", "camera_id": "north"}
    names = [name.strip('"\ufeff') for name in header.split(",")]
    (picture,) = incoming_of_lines([f"{header}\r\n", ",".join(f'"{values[name]}"' for name in names) + "\r\n"])
    assert (picture.picture, picture.known.camera_id) == (Path("a.jpg"), "north" if "camera_id" in names else "")


@pytest.mark.parametrize("sign", [";", "\t", "|", ", "])
def test_a_table_may_be_parted_otherwise_and_its_header_be_written_large(sign):
    lines = [sign.join(row) + "\n" for row in (("Camera_ID", " Path "), (" north ", "a b.jpg"), (" ", " "))]
    (picture,) = incoming_of_lines(lines)
    assert (picture.picture, picture.known.camera_id) == (Path("a b.jpg"), "north")


@pytest.mark.parametrize("path", ['a "b".jpg', '"a', "a;b.jpg", "path.jpg", "a\rb.jpg", "x" * 200_000])
def test_a_strange_path_is_no_header(path):
    (picture,) = incoming_of_lines([f"{path}\n"])
    assert picture.picture == Path(path)


def test_standard_input_may_be_json_lines():
    lines = ['{"path": "a.jpg", "time": 7.5, "vehicle_id": null, "labels": {"lane": 3}}\n', '\n{"path": "b.jpg"}']
    first, second = incoming_of_lines(lines)
    assert (first.picture, first.known.time, first.known.vehicle_id, dict(first.known.labels)) == (
        Path("a.jpg"),
        7.5,
        "",
        {"lane": "3"},
    )
    assert second.picture == Path("b.jpg")


def test_a_number_in_a_source_is_seconds_but_not_one_that_may_be_a_day():
    (picture,) = incoming_of_lines(['{"path": "a.jpg", "time": 2024}\n'])
    assert picture.known.time == 2024
    with pytest.raises(SamecarError, match=r"^line 1 of standard input: time '20240501' may be a date or seconds"):
        list(incoming_of_lines(['{"path": "a.jpg", "time": 20240501}\n']))


def test_empty_standard_input_is_nothing():
    assert taken("-", []) == []
    assert taken("-", ["\n", "  \n"]) == []


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["path,camera\n", "a.jpg,x\n"], r"^line 2 of standard input has an unknown field 'camera'; known are path"),
        (["path,time\n", "a.jpg,soon\n"], r"^line 2 of standard input: time 'soon' cannot be understood"),
        (["path,time\n", "a.jpg\n"], "^line 2 of standard input has not as many values as the header names columns"),
        (["path,time\n", ",0\n"], "^line 2 of standard input names no picture"),
        (["path,time\n", '"a.jpg\n'], "^line 2 of standard input is not CSV"),
        (['{"path": "a.jpg"}\n', "b.jpg\n"], "^line 2 of standard input is not JSON"),
        (
            ['{"path": "a.jpg", "labels": 3}\n'],
            "^line 1 of standard input is not a JSON object with labels in an",
        ),
        (['{"path": ""}\n'], "^line 1 of standard input names no picture"),
    ],
)
def test_a_wrong_line_is_named(lines, sentence):
    with pytest.raises(SamecarError, match=sentence):
        list(incoming_of_lines(lines))


def test_a_wrong_time_in_a_manifest_is_named(crops):
    table = crops / "table.csv"
    table.write_text("path,vehicle_id,camera_id,split,time\ncar_2_cam1.png,v,c,query,noon\n")
    with pytest.raises(SamecarError, match=r"car_2_cam1.png: time 'noon' cannot be understood"):
        taken(table)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            "no/such/folder",
            "source 'no/such/folder' is not there; give a folder, a picture, a manifest that ends in .csv",
        ),
        ("nowhere", "source 'nowhere' is not there; give a folder, a picture, .* NAME:PATH, or - for standard input"),
        ("fodler:x", "did you mean folder:PATH"),
        ("folder:no/such", "folder no/such is not there"),
        ("no-such.csv", "source 'no-such.csv' is not there; give a folder"),
    ],
)
def test_a_source_that_is_not_there_is_named(source, sentence):
    with pytest.raises(SamecarError, match=sentence):
        taken(source)


def test_a_file_that_is_gone_is_an_unreadable_picture(tmp_path):
    with pytest.raises(UnreadablePictureError, match=r"gone.jpg cannot be read: no such file or directory"):
        Incoming(tmp_path / "gone.jpg").read()
    with pytest.raises(UnreadablePictureError, match="null byte"):
        Incoming(Path("a\0b")).read()


def test_what_may_never_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    why = {tmp_path / "pipe.jpg": "it is no file", Path("/dev/zero"): "it is no file", tmp_path: "is a directory"}
    for path, reason in why.items():
        with pytest.raises(UnreadablePictureError, match=f"{path} cannot be read: {reason}"):
            Incoming(path).read()
