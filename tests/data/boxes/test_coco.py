import json

import pytest

from samecar.data.boxes.annotations import Box
from samecar.data.boxes.coco import read_coco
from samecar.errors import SamecarError

IMAGE = {"id": 7, "file_name": "north/1.jpg", "width": 64, "height": 48}


def written(path, annotations, images=(IMAGE,), **more):
    path.write_text(json.dumps({"images": list(images), "annotations": annotations, **more}))
    return path


def test_boxes_with_their_class_and_what_annotators_say_of_them(tmp_path):
    annotations = [
        {"id": 1, "image_id": 7, "bbox": [1, 2, 30, 20.5], "category_id": 3, "vehicle_id": 12, "track_id": 4},
        {"id": 2, "image_id": 7, "bbox": [0, 0, 9, 9], "attributes": {"Vehicle-ID": " v1 ", "Color": "red", "x": True}},
        {"id": 3, "image_id": 8, "bbox": [0, 0, 9, 9], "camera_id": "c9"},
    ]
    images = (IMAGE, {"id": 8, "file_name": "2.jpg", "camera": "c2"})
    found = read_coco(
        written(
            tmp_path / "boxes.json", annotations, images, categories=[{"id": 3, "name": "car", "supercategory": "v"}]
        )
    )
    assert found.boxes == [
        Box("north/1.jpg", 1, 2, 31, 22.5, vehicle_id="12", track_id="4", type="car"),
        Box("north/1.jpg", 0, 0, 9, 9, vehicle_id="v1", colour="red"),
        Box("2.jpg", 0, 0, 9, 9, camera_id="c9"),
    ]
    assert (found.sizes, found.size, found.first) == ({"north/1.jpg": (64, 48)}, None, None)
    assert found.left_out == {}


def test_groups_and_outlines_without_a_box_are_counted(tmp_path):
    annotations = [
        {"image_id": 7, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"image_id": 7, "segmentation": [[0, 0, 9, 9, 0, 9]]},
        {"image_id": 7, "bbox": [], "segmentation": []},
    ]
    found = read_coco(written(tmp_path / "boxes.json", annotations))
    assert found.boxes == []
    assert found.left_out == {"are groups (iscrowd)": 1, "have no bbox": 2}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[]", "indices must be integers"),
        ('{"images": []}', "it lacks 'annotations'"),
        ('{"images": [{"id": 1}], "annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}]}', "it lacks 'file_name'"),
        ('{"images": [], "annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}]}', "it lacks 1"),
        ('{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox": [0, 0]}]}', "not enough"),
        ('{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox": "box."}]}', "could not"),
        ('{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox": [0, 0, NaN, 1]}]}', "nan"),
    ],
)
def test_other_files_are_refused_in_one_sentence(tmp_path, text, reason):
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(
        SamecarError, match=rf"boxes.json holds no boxes in COCO's form: .*{reason}.*; give a JSON file"
    ):
        read_coco(path)
