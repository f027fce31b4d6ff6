"""Small networks of every form, whose boxes are worked out by hand, and which see what is in the picture."""

import json

import numpy as np
import onnx
import pytest
from film_making import red_detector
from onnx import TensorProto, helper, numpy_helper

from samecar.errors import SamecarError
from samecar.films import YoloxDetector, open_detector
from samecar.films.detectors.class_names import COCO, names_in_metadata, read_names
from samecar.films.detectors.detr import DetrDetector, QueryDetector
from samecar.films.detectors.yolo import SelectedYoloDetector, YoloDetector

SIDE = 96
CELLS = 12 * 12 + 6 * 6 + 3 * 3
PICTURE = np.full((48, 96, 3), (51, 102, 204), np.uint8)
"""Half as high as wide: letterboxed in the middle it lies from row 24 to row 72 of a network of 96 × 96."""


def save(path, nodes, constants, outputs, inputs=None, metadata=None):
    """Writes an ONNX file; inputs are names with type and shape, by default `images` of 96 × 96."""
    inputs = inputs or {"images": (TensorProto.FLOAT, [1, 3, SIDE, SIDE])}
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    if metadata:
        helper.set_model_props(model, metadata)
    onnx.save(model, str(path))
    return path


def saying(path, metadata=None, inputs=None, **outputs):
    """A network that gives the same whatever it sees."""
    nodes = [helper.make_node("Identity", [f"{name}_value"], [name]) for name in outputs]
    constants = {f"{name}_value": value for name, value in outputs.items()}
    kinds = {name: helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype) for name, value in outputs.items()}
    return save(path, nodes, constants, kinds, inputs, metadata)


def yolo_rows(classes=3):
    """By hand, in pixels of 96 × 96: a car around (48, 48), 24 × 12, at 0.9; a bus around (20, 60) at 0.8."""
    rows = np.zeros((1, 4 + classes, CELLS), np.float32)
    rows[0, :4, 5], rows[0, 4 + 1, 5] = [48, 48, 24, 12], 0.9
    rows[0, :4, 9], rows[0, 4 + 2, 9] = [20, 60, 20, 10], 0.8
    rows[0, :4, 7], rows[0, 4 + 0, 7] = [70, 40, 20, 10], 0.95  # of a class that nobody asks for
    return rows


NAMES = {"names": "{0: 'tree', 1: 'car', 2: 'bus'}"}
EXPECTED = [[36, 18, 60, 30], [10, 31, 30, 41]]
"""In the picture: 24 rows of grey lie above it."""


def assert_found(detector, classes=("car", "bus"), confidences=(0.9, 0.8), expected=EXPECTED, picture=PICTURE):
    found = detector.detect(picture, 0.5)
    assert found.kinds == tuple(classes)
    assert found.confidences.tolist() == pytest.approx(list(confidences), abs=1e-4)
    assert np.allclose(found.boxes, expected, atol=1e-3)
    assert found.boxes.dtype == np.float32


def test_a_detector_of_yolov8_is_known_by_its_output_and_its_names_by_its_metadata(tmp_path):
    path = saying(tmp_path / "detector.onnx", NAMES, output0=yolo_rows())
    detector = open_detector(path, ["car", "bus"])
    assert isinstance(detector, YoloDetector)
    assert_found(detector)
    assert_found(open_detector(path, ["2"]), ["2"], [0.8], EXPECTED[1:])


def test_boxes_of_a_picture_that_is_made_smaller_are_made_larger(tmp_path):
    path = saying(tmp_path / "detector.onnx", NAMES, output0=yolo_rows())
    picture = np.zeros((960, 480, 3), np.uint8)  # a tenth of it; 24 columns of grey lie to its left
    expected = [[120, 420, 360, 540], [0, 550, 60, 650]]  # the second is cut off at the border
    assert_found(open_detector(path, ["car", "bus"]), expected=expected, picture=picture)


def test_a_detector_that_chooses_itself_is_known_too(tmp_path):
    rows = np.zeros((1, 5, 6), np.float32)
    rows[0, :3] = [[36, 42, 60, 54, 0.9, 1], [10, 55, 30, 65, 0.8, 2], [60, 35, 80, 45, 0.95, 0]]
    path = saying(tmp_path / "detector.onnx", NAMES, output0=rows)
    detector = open_detector(path, ["car", "bus"])
    assert isinstance(detector, SelectedYoloDetector)
    assert_found(detector)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_yolov8_sees_red_green_and_blue_from_0_to_1_in_the_middle(tmp_path, row):
    """Its first confidence is the colour at (48, 48), its second that at (48, 10), which is grey."""
    middle, above = ([0, row, at, 48] for at in (48, 10))
    rest = np.zeros((1, 6, CELLS - 1), np.float32)
    nodes = [
        helper.make_node("GatherND", ["images", "places"], ["colours"]),
        helper.make_node("Concat", ["box", "colours"], ["column"], axis=0),
        helper.make_node("Reshape", ["column", "shape"], ["one"]),
        helper.make_node("Concat", ["one", "rest"], ["output0"], axis=2),
    ]
    constants = {
        "places": np.array([middle, above]),
        "box": np.array([48, 48, 20, 10], np.float32),
        "shape": np.array([1, 6, 1]),
        "rest": rest,
    }
    path = save(tmp_path / "detector.onnx", nodes, constants, {"output0": TensorProto.FLOAT})
    for number, value in (("0", PICTURE[0, 0, row] / 255), ("1", 114 / 255)):
        (confidence,) = open_detector(path, [number]).detect(PICTURE, 0.1).confidences.tolist()
        assert confidence == pytest.approx(value, abs=1e-4)


DETR_INPUTS = {
    "images": (TensorProto.FLOAT, ["N", 3, SIDE, SIDE]),
    "orig_target_sizes": (TensorProto.INT64, ["N", 2]),
}


def detr(path, metadata=None):
    """As D-FINE and RT-DETR are exported: shares of the picture, made pixels by the sizes that it is told."""
    shares = np.array([[[0.375, 0.375, 0.625, 0.625], [0.1, 0.6, 0.3, 0.9], [0.5, 0.1, 0.9, 0.4]]], np.float32)
    nodes = [
        helper.make_node("Cast", ["orig_target_sizes"], ["sizes"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["sizes", "sizes"], ["twice"], axis=1),
        helper.make_node("Mul", ["shares", "twice"], ["boxes"]),
        helper.make_node("Identity", ["labels_value"], ["labels"]),
        helper.make_node("Identity", ["scores_value"], ["scores"]),
    ]
    constants = {
        "shares": shares,
        "labels_value": np.array([[2, 5, 0]]),
        "scores_value": np.array([[0.9, 0.8, 0.95]], np.float32),
    }
    outputs = {"labels": TensorProto.INT64, "boxes": TensorProto.FLOAT, "scores": TensorProto.FLOAT}
    return save(path, nodes, constants, outputs, DETR_INPUTS, metadata)


def test_a_detector_of_rt_detr_or_d_fine_is_told_the_pictures_size(tmp_path):
    """By hand, of 96 × 48 pixels: shares times width and height."""
    path = detr(tmp_path / "detector.onnx")
    detector = open_detector(path, ["car", "bus"], read_names("coco"))
    assert isinstance(detector, DetrDetector)
    assert_found(detector, expected=[[36, 18, 60, 30], [9.6, 28.8, 28.8, 43.2]])
    assert_found(open_detector(path, ["2", "5"]), ["2", "5"], expected=[[36, 18, 60, 30], [9.6, 28.8, 28.8, 43.2]])


def test_a_detector_that_does_not_say_what_its_classes_are_is_not_taken_for_one_of_coco(tmp_path):
    with pytest.raises(SamecarError, match=r"--classes 'car' is not known to detector .*say --class-names coco if it"):
        open_detector(detr(tmp_path / "detector.onnx"))


def test_a_detector_of_transformers_gives_logits_and_shares(tmp_path):
    """By hand: the logit of 0.9 is 2.1972, of 0.8 it is 1.3863."""
    logits = np.full((1, 3, 80), -20, np.float32)
    logits[0, 0, 2], logits[0, 1, 5], logits[0, 2, 0] = 2.1972, 1.3863, 4
    boxes = np.array([[[0.5, 0.5, 0.25, 0.25], [0.2, 0.75, 0.2, 0.3], [0.5, 0.5, 0.2, 0.2]]], np.float32)
    inputs = {"pixel_values": (TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])}
    path = saying(tmp_path / "detector.onnx", inputs=inputs, logits=logits, pred_boxes=boxes)
    detector = open_detector(path, ["car", "bus"])  # 80 classes are COCO's
    assert isinstance(detector, QueryDetector)
    assert_found(detector, expected=[[36, 18, 60, 30], [9.6, 28.8, 28.8, 43.2]])


@pytest.mark.parametrize("form", ["detr", "query"])
def test_these_see_the_picture_stretched_with_red_first_from_0_to_1(tmp_path, form):
    """The score of the one box is the red of a pixel at the top, where a letterbox would be grey."""
    place = np.array([[0, 0, 2, 48]])
    nodes = [
        helper.make_node("GatherND", ["images", "place"], ["red"]),
        helper.make_node("Reshape", ["red", "shape"], ["score"]),
    ]
    box = np.array([[[0.2, 0.2, 0.6, 0.6]]], np.float32)
    if form == "query":
        one, kinds = "logits", {"logits": TensorProto.FLOAT, "pred_boxes": TensorProto.FLOAT}
        constants, inputs = {"shape": np.array([1, 1, 1]), "box": box}, None
        nodes.append(helper.make_node("Identity", ["box"], ["pred_boxes"]))
        expected = 1 / (1 + np.exp(-51 / 255))
    else:
        one = "scores"
        kinds = {"labels": TensorProto.INT64, "boxes": TensorProto.FLOAT, "scores": TensorProto.FLOAT}
        constants, inputs = {"shape": np.array([1, 1]), "box": box * 40, "label": np.array([[0]])}, DETR_INPUTS
        nodes += [helper.make_node("Identity", ["box"], ["boxes"]), helper.make_node("Identity", ["label"], ["labels"])]
        expected = 51 / 255
    nodes.append(helper.make_node("Identity", ["score"], [one]))
    path = save(tmp_path / "detector.onnx", nodes, {**constants, "place": place}, kinds, inputs)
    (confidence,) = open_detector(path, ["0"]).detect(PICTURE, 0.1).confidences.tolist()
    assert confidence == pytest.approx(expected, abs=1e-4)


def test_yolox_stays_what_it_is_and_may_name_its_classes(tmp_path):
    path = red_detector(tmp_path / "red.onnx", classes=3)
    assert isinstance(open_detector(path, ["2"]), YoloxDetector)
    picture = np.full((128, 256, 3), 100, np.uint8)
    picture[40:70, 100:140] = (220, 30, 30)
    found = open_detector(path, ["lorry"], read_names("tree,bus,lorry")).detect(picture, 0.4)
    assert found.kinds == ("lorry",)
    assert np.allclose(found.boxes, [[100, 40, 140, 70]], atol=1)


@pytest.mark.parametrize("sides", [["height", "width"], [SIDE, SIDE]])
def test_the_size_that_a_file_leaves_open_stands_in_its_metadata(tmp_path, sides):
    inputs = {"images": (TensorProto.FLOAT, ["batch", 3, *sides])}
    path = saying(tmp_path / "detector.onnx", {**NAMES, "imgsz": "[96, 96]"}, inputs, output0=yolo_rows())
    assert_found(open_detector(path, ["car", "bus"]))


def test_confidences_beyond_one_are_refused(tmp_path):
    rows = yolo_rows()
    rows[0, 5, 3] = 7
    with pytest.raises(SamecarError, match="gives confidences that are not between 0 and 1"):
        open_detector(saying(tmp_path / "detector.onnx", NAMES, output0=rows), ["car"])


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (None, {"output0": np.zeros((1, 7, CELLS + 1), np.float32)}),
        (None, {"output0": np.zeros((1, 3 * CELLS, 85), np.float32)}),  # YOLOv5: three boxes in each cell
        (None, {"output0": np.zeros((7, CELLS), np.float32)}),
        (None, {"boxes": np.zeros((1, 5, 4), np.float32), "scores": np.zeros((1, 5), np.float32)}),
        ({"images": (TensorProto.FLOAT, [4, 3, SIDE, SIDE])}, {"output0": yolo_rows()}),
        ({"images": (TensorProto.FLOAT, [1, SIDE, SIDE, 3])}, {"output0": yolo_rows()}),
        ({"images": (TensorProto.FLOAT16, [1, 3, SIDE, SIDE])}, {"output0": yolo_rows()}),
        ({"images": (TensorProto.FLOAT, [1, 3, SIDE, SIDE]), "s": (TensorProto.FLOAT, [1, 2])}, {"o": yolo_rows()}),
    ],
)
def test_a_network_of_another_form_is_refused_with_what_it_is(tmp_path, inputs, outputs):
    path = saying(tmp_path / "detector.onnx", inputs=inputs, **outputs)
    with pytest.raises(SamecarError, match=r"is of no form that is known: its inputs are images .* and its outputs"):
        open_detector(path)


# names


def test_the_classes_of_coco_are_numbered_as_everybody_does():
    assert len(COCO) == len(set(COCO)) == 80
    assert [COCO[number] for number in (0, 1, 2, 3, 5, 6, 7, 9, 11, 67, 79)] == [
        "person",
        "bicycle",
        "car",
        "motorcycle",
        "bus",
        "train",
        "truck",
        "traffic light",
        "stop sign",
        "cell phone",
        "toothbrush",
    ]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{0: 'car', 1: 'bus'}", ("car", "bus")),
        ("['car', 'bus']", ("car", "bus")),
        (json.dumps({"1": "bus", "0": "car"}), ("car", "bus")),
        ("{0: 'car', 2: 'bus'}", None),
        ("__import__('os')", None),
        ("car", None),
        ("", None),
        (None, None),
    ],
)
def test_names_in_metadata_are_read_and_never_run(text, names):
    assert names_in_metadata(text) == names


def test_names_are_read_from_a_list_or_a_file(tmp_path):
    (tmp_path / "names.txt").write_text("car\nfire engine\nbus\n")
    assert read_names(str(tmp_path / "names.txt")) == ("car", "fire engine", "bus")
    (tmp_path / "names.txt").write_text("\ufeffcar\nbus\n", encoding="utf-8")
    assert read_names(str(tmp_path / "names.txt")) == ("car", "bus")  # as editors on Windows write it
    assert read_names("car, fire engine,bus") == ("car", "fire engine", "bus")
    assert read_names("coco") == COCO
    for wrong in ("", ",", "car,,bus", "car,car"):
        with pytest.raises(SamecarError, match=r"class names are .*; give coco, different names parted by commas"):
            read_names(wrong)
    (tmp_path / "names.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SamecarError, match=r"names.txt are not UTF-8"):
        read_names(str(tmp_path / "names.txt"))


def test_a_list_of_names_may_be_longer_than_a_files_name():
    names = tuple(f"class {number}" for number in range(80))
    assert read_names(", ".join(names)) == names


def test_names_must_be_as_many_as_there_are_classes(tmp_path):
    path = saying(tmp_path / "detector.onnx", output0=yolo_rows())
    with pytest.raises(SamecarError, match=r"class names are 2, and detector .* has 3 classes; name each of them"):
        open_detector(path, ["car"], ("car", "bus"))
    with pytest.raises(
        SamecarError, match=r"--classes 'tank' is not a class of .*; it knows tree, car, bus or numbers"
    ):
        open_detector(path, ["tank"], ("tree", "car", "bus"))
