"""Crops of frames in which each pixel tells where it is, so that a crop shows which part of which frame it is."""

import json

import numpy as np
import pytest
from command_line import refused, run
from PIL import Image

from samecar.data import check, crop_boxes, open_source
from samecar.errors import SamecarError

WIDTH, HEIGHT = 100, 80


def paint_frame(path, number):
    """Red is the column, green the row, blue the frame's number."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([columns, rows, np.full_like(rows, number)], axis=2).astype(np.uint8)).save(path)


@pytest.fixture
def frames(tmp_path):
    for number in range(1, 4):
        paint_frame(tmp_path / "frames" / f"{number:06d}.png", number)
    return tmp_path / "frames"


@pytest.fixture
def boxes(tmp_path):
    """A file of MOTChallenge whose lines are given."""

    def write(*lines):
        path = tmp_path / "gt.txt"
        path.write_text("\n".join(lines))
        return path

    return write


def part(manifest, row):
    """Frame, left, top, right and bottom of a crop."""
    pixels = np.asarray(Image.open(manifest.absolute_path(row)))
    (left, top, frame), (right, bottom, _) = pixels[0, 0], pixels[-1, -1]
    return int(frame), int(left), int(top), int(right) + 1, int(bottom) + 1


def test_crops_are_what_lies_in_the_boxes(frames, boxes, tmp_path):
    file = boxes("2,7,10,5,40,35,1,3", "2,8,50,30,40,40,1,4", "3,7,12.4,5.6,40,35,1,3")
    crops = crop_boxes(file, frames, tmp_path / "crops", camera="cam1")
    assert crops.rows(("path", "vehicle_id", "camera_id", "track_id", "type", "split")) == [
        ("000002-1.png", "7", "cam1", "7", "3", "train"),
        ("000002-2.png", "8", "cam1", "8", "4", "train"),
        ("000003-1.png", "7", "cam1", "7", "3", "train"),
    ]
    assert [part(crops, row) for row in range(3)] == [(2, 10, 5, 50, 40), (2, 50, 30, 90, 70), (3, 12, 6, 52, 41)]
    tracks, idle = crops.warnings
    assert idle == "1 of 3 frames have no box and give no crop"
    assert tracks == (
        "the boxes name no vehicles, and each of their 2 tracks is taken for one; a vehicle that passes twice is two "
        "unless both passages have one number"
    )
    assert open_source(f"csv:{tmp_path}/crops/pictures.csv").digest == crops.digest
    assert check(crops, workers=0).ok


def test_boxes_are_cut_at_the_border_and_those_that_are_too_small_or_outside_are_counted(frames, boxes, tmp_path):
    file = boxes("1,1,-20,-10,60,60", "1,2,70,0,60,40", "1,3,200,0,60,40", "1,4,0,0,31,60", "1,5,60,60,-5,20")
    crops = crop_boxes(file, frames, tmp_path / "crops", camera="c", minimum_size=30)
    assert [part(crops, row) for row in range(3)] == [(1, 0, 0, 40, 50), (1, 70, 0, 100, 40), (1, 0, 0, 31, 60)]
    assert "2 boxes lie outside of their frames and are left out" in crops.warnings
    crops = crop_boxes(file, frames, tmp_path / "larger", camera="c", minimum_size=32)
    assert crops.vehicle_id.tolist() == ["1"]
    assert "2 boxes have a side of less than 32 pixels in their frames and are left out" in crops.warnings


def test_a_margin_is_a_share_of_the_box(frames, boxes, tmp_path):
    crops = crop_boxes(boxes("1,1,10,20,40,50"), frames, tmp_path / "crops", margin=0.1)
    assert part(crops, 0) == (1, 6, 15, 54, 75)
    assert "of 1 crops no camera is known; give --camera, or a pattern of the frames with {camera_id}" in crops.warnings


def test_classes_are_chosen_and_others_counted(frames, boxes, tmp_path):
    file = boxes("1,1,0,0,40,40,1,3", "1,2,0,0,40,40,1,1", "1,3,0,0,40,40,1,4")
    crops = crop_boxes(file, frames, tmp_path / "crops", camera="c", classes=("3", "4"))
    assert crops.vehicle_id.tolist() == ["1", "3"]
    assert "1 boxes are of other classes (1) and are left out" in crops.warnings
    with pytest.raises(
        SamecarError, match=r"classes has 'car', which no box of .*gt.txt is of; its classes are 1, 3, 4"
    ):
        crop_boxes(file, frames, tmp_path / "other", classes=("car",))


def test_names_of_frames_tell_cameras_times_and_splits(tmp_path):
    for camera in ("north", "south"):
        paint_frame(tmp_path / "frames" / "query" / camera / "0700.png", len(camera))
        paint_frame(tmp_path / "frames" / "train" / camera / f"0800{camera}.png", len(camera))
    images = [
        {"id": 1, "file_name": "query\\south\\0700.png", "width": WIDTH, "height": HEIGHT},
        {"id": 2, "file_name": "0800north.png"},
    ]
    annotations = [
        {"image_id": 1, "bbox": [0, 0, 40, 40], "vehicle_id": "v"},
        {"image_id": 2, "bbox": [1, 2, 40, 40], "vehicle_id": -1},
        {"image_id": 2, "bbox": [3, 4, 40, 40], "vehicle_id": "v", "camera_id": "own"},
    ]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations}))
    paint_frame(tmp_path / "frames" / "odd.png", 9)
    crops = crop_boxes(file, f"{tmp_path}/frames/{{split}}/{{camera_id}}/{{time}}.png", tmp_path / "crops")
    assert crops.warnings == (
        "1 pictures do not match '{split}/{camera_id}/{time}.png' and are left out: odd.png",
        "2 of 4 frames have no box and give no crop",
    )
    assert crops.rows(("path", "vehicle_id", "camera_id", "time", "split")) == [
        ("query/south/0700-1.png", "v", "south", "0700", "query"),
        ("train/north/0800north-1.png", "-1", "north", "0800north", "train"),
        ("train/north/0800north-2.png", "v", "own", "0800north", "train"),
    ]
    crops = crop_boxes(file, tmp_path / "frames", tmp_path / "again")
    assert crops.split.tolist() == ["train", "gallery", "train"]
    images[0]["file_name"] = "0700.png"
    file.write_text(json.dumps({"images": images, "annotations": annotations}))
    with pytest.raises(
        SamecarError, match=r"boxes on 0700.png may be of query/north/0700.png and query/south/0700.png"
    ):
        crop_boxes(file, tmp_path / "frames", tmp_path / "third")


def test_frames_that_are_absent_or_unreadable_are_counted(frames, boxes, tmp_path):
    (frames / "000002.png").write_bytes(b"no picture")
    file = boxes("1,1,0,0,40,40", "2,1,0,0,40,40", "9,1,0,0,40,40", "9,2,0,0,40,40")
    crops = crop_boxes(file, frames, tmp_path / "crops", camera="c")
    assert crops.path.tolist() == ["000001-1.png"]
    assert "2 boxes are left out, as 1 frames are not there: 9" in crops.warnings
    (sentence,) = [warning for warning in crops.warnings if "cannot be read" in warning]
    assert sentence.startswith(f"1 frames cannot be read and their boxes are left out: {frames}/000002.png (it is not")


def test_boxes_that_would_be_cut_from_other_pictures_are_refused(frames, boxes, tmp_path):
    xml = tmp_path / "boxes.xml"
    box = '<box frame="1" xtl="0" ytl="0" xbr="40" ybr="40"/>'
    xml.write_text(f'<annotations><track id="0" label="car">{box}</track></annotations>')
    with pytest.raises(SamecarError, match=r"numbered from 1, and the boxes from 0, .* `ffmpeg -start_number 0` does"):
        crop_boxes(xml, frames, tmp_path / "crops")
    paint_frame(frames / "000000.png", 0)
    assert part(crop_boxes(xml, frames, tmp_path / "crops"), 0) == (1, 0, 0, 40, 40)
    with pytest.raises(SamecarError, match="numbered from 0, and the boxes from 1"):
        crop_boxes(boxes("1,1,0,0,40,40"), frames, tmp_path / "more")
    (frames / "000000.png").rename(frames / "again-1.png")
    with pytest.raises(
        SamecarError, match=r"000001.png and again-1.png have one number, and the boxes are of one film"
    ):
        crop_boxes(boxes("1,1,0,0,40,40"), frames, tmp_path / "more")
    size = "<original_size><width>200</width><height>160</height></original_size>"
    xml.write_text(f'<annotations><meta>{size}</meta><track id="0" label="car">{box}</track></annotations>')
    (frames / "again-1.png").rename(frames / "000000.png")
    with pytest.raises(SamecarError, match=r"000001.png has 100 × 80 pixels, and its boxes were drawn on 200 × 160"):
        crop_boxes(xml, frames, tmp_path / "more")
    assert not (tmp_path / "more").exists()


def test_what_cannot_be_cropped_is_refused(frames, boxes, tmp_path):
    good, out = boxes("1,1,0,0,40,40"), tmp_path / "crops"
    empty = tmp_path / "empty.txt"
    empty.touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    far = tmp_path / "far.txt"
    far.write_text("70,1,0,0,40,40")
    tiny = tmp_path / "tiny.txt"
    tiny.write_text("1,1,0,0,4,4")
    for arguments, sentence in {
        (good, "--frames", frames, "-o", tmp_path / "full"): "full is not an empty folder; choose another one",
        (good, "--frames", frames, "-o", out, "--margin", 2): "--margin is 2.0; give a share from 0 to 1",
        (good, "--frames", frames, "-o", out, "--classes", "car"): "'car', which no box of",
        (good, "--frames", f"{frames}/{{vehicle_id}}.png", "-o", out): "tell a vehicle by {vehicle_id}",
        (good, "--frames", tmp_path / "none", "-o", out): "none is not there",
        (frames / "000001.png", "--frames", frames, "-o", out): "end in '.png'; give a .json file in COCO's form",
        (tmp_path / "no.xml", "--frames", frames, "-o", out): "no.xml are not there; give the path of",
        (empty, "--frames", frames, "-o", out): "has no box to crop",
        (far, "--frames", frames, "-o", out): "none of the 1 frames of",
        (tiny, "--frames", frames, "-o", out): "can be cropped: ",
    }.items():
        assert sentence in refused("data", "crop", *arguments)
        assert not out.exists()


def test_the_command_says_what_it_made_and_left_out(frames, boxes, tmp_path):
    out = tmp_path / "crops"
    file = boxes("1,1,0,0,40,40,1,3", "2,1,0,0,40,40,1,3", "3,2,0,0,40,40,0,3", "3,2,0,0,40,40,1,1")
    finished = run("data", "crop", file, "--frames", frames, "--camera", "c", "--classes", "3,", "-o", out)
    assert finished.status == 0
    assert finished.out == f"{out}: 2 crops of 1 vehicles. Use them as csv:{out}/pictures.csv\n"
    assert "warning: 1 boxes are not to be counted (their seventh value is 0) and are left out" in finished.errors
