import math
import subprocess
import sys

import numpy as np
import pytest
from film_making import constant_detector, red_detector, save_network
from onnx import TensorProto, helper

from samecar.errors import SamecarError
from samecar.films import YoloxDetector
from samecar.films.detection import Detections
from samecar.films.detectors.fitting import letterbox

SIDE = 64
CELLS = [
    (column, row, stride) for stride in (8, 16, 32) for row in range(SIDE // stride) for column in range(SIDE // stride)
]


def raw_rows(classes=5, seed=0):
    """What a network without its last step may say: numbers within cells, and few sure boxes."""
    generator = np.random.default_rng(seed)
    rows = np.concatenate(
        [
            generator.normal(0.5, 1, (len(CELLS), 2)),
            generator.normal(0.7, 0.6, (len(CELLS), 2)),
            generator.uniform(0, 1, (len(CELLS), 1 + classes)) ** 2,
        ],
        axis=1,
    )
    return rows.astype(np.float32)


def naive_boxes(rows):
    """Corners in pixels of the network's input, box by box."""
    boxes = []
    for (column, row, stride), (x, y, width, height) in zip(CELLS, rows[:, :4].tolist(), strict=True):
        x, y = (x + column) * stride, (y + row) * stride
        width, height = math.exp(width) * stride, math.exp(height) * stride
        boxes.append([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    return np.array(boxes)


def in_pixels(rows):
    corners = naive_boxes(rows)
    centres, sizes = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    return np.concatenate([centres, sizes, rows[:, 4:]], axis=1).astype(np.float32)


@pytest.mark.parametrize("export", [lambda rows: rows, in_pixels], ids=["within cells", "in pixels"])
def test_boxes_are_decoded_as_a_plain_loop_does(tmp_path, export):
    rows = raw_rows()
    path = constant_detector(tmp_path / "detector.onnx", export(rows))
    found = YoloxDetector.open(path, ["1", "3"]).detect(np.zeros((128, 96, 3), np.uint8), 0.3)
    expected = {}
    for box, row in zip(naive_boxes(rows) * 2, rows, strict=True):  # 128 rows became 64
        kind = max((1, 3), key=lambda number: row[5 + number])
        corners = tuple(np.clip(box, 0, [96, 128, 96, 128]).round(2))
        expected[corners] = (row[4] * row[5 + kind], str(kind))
    assert 3 <= len(found) < sum(confidence >= 0.3 for confidence, _ in expected.values())
    assert (np.diff(found.confidences) <= 0).all()
    for box, confidence, kind in zip(found.boxes, found.confidences, found.kinds, strict=True):
        (match,) = [value for corners, value in expected.items() if np.allclose(corners, box, atol=0.02)]
        assert match == (pytest.approx(confidence, abs=1e-5), kind)
    surest = max(
        (value[0], corners)
        for corners, value in expected.items()
        if corners[0] < corners[2] and corners[1] < corners[3]
    )
    assert np.allclose(found.boxes[0], surest[1], atol=0.02)


@pytest.mark.parametrize(("height", "width"), [(100, 200), (480, 100), (64, 64), (7, 300)])
def test_a_letterbox_keeps_shape_and_place(height, width):
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0], picture[..., 1], picture[..., 2] = 200, 100, 50
    tensor, (scale, _), offset = letterbox(picture, 64, 96)
    assert tensor.shape == (1, 3, 64, 96)
    assert offset.tolist() == [0, 0]
    assert scale == pytest.approx(min(64 / height, 96 / width))
    filled = (tensor[0] != 114).all(axis=0)
    assert abs(filled.sum(axis=0).max() - height * scale) <= 0.5
    assert abs(filled.sum(axis=1).max() - width * scale) <= 0.5
    assert filled[0, 0]
    assert tensor[0, :, 0, 0].tolist() == [200, 100, 50]


def test_a_network_finds_a_vehicle_where_it_is(tmp_path):
    detector = YoloxDetector.open(red_detector(tmp_path / "red.onnx"), ["car"])
    picture = np.full((256, 512, 3), 100, np.uint8)
    picture[100:160, 300:380] = (220, 30, 30)  # 80 × 60 in a picture twice as large as the input
    found = detector.detect(picture, 0.4)
    assert np.allclose(found.boxes, [[300, 100, 380, 160]], atol=1)
    assert found.kinds == ("car",)
    assert len(detector.detect(picture[..., ::-1], 0.4)) == 0  # blue is not red


def test_a_vehicle_that_is_two_things_is_found_once(tmp_path):
    rows = np.zeros((len(CELLS), 85), np.float32)
    rows[:3, :5] = [[0, 0, 1, 1, 0.9], [-1, 0, 1, 1, 0.8], [-2, 0, 1, 1, 0.7]]  # three cells in a row say the same
    rows[:3, [5 + 2, 5 + 7, 5 + 0]] = np.eye(3)  # a car, a truck, and a person, who is no vehicle
    found = YoloxDetector.open(constant_detector(tmp_path / "detector.onnx", rows)).detect(
        np.zeros((64, 64, 3), np.uint8), 0.4
    )
    assert found.kinds == ("car",)
    assert found.confidences.tolist() == pytest.approx([0.9])


def test_nothing_found_is_an_answer(tmp_path):
    path = constant_detector(tmp_path / "detector.onnx", np.zeros((len(CELLS), 85), np.float32))
    found = YoloxDetector.open(path).detect(np.zeros((40, 80, 3), np.uint8), 0.1)
    assert found.boxes.shape == (0, 4)
    assert len(found.of_size(5)) == 0


def test_small_detections_can_be_left_out():
    boxes = np.array([[0, 0, 50, 30], [0, 0, 50, 20], [0, 0, 25, 90]], np.float32)
    large = Detections(boxes, np.array([0.9, 0.8, 0.7], np.float32), ("a", "b", "c")).of_size(25)
    assert large.kinds == ("a", "c")
    assert large.boxes.tolist() == boxes[[0, 2]].tolist()


def identity(path, shape, output, **options):
    """A network of another form: it gives zeros of a shape whatever it sees."""
    node = helper.make_node("ConstantOfShape", ["shape"], ["zeros"])
    used = helper.make_node("Cast", ["images"], ["numbers"], to=TensorProto.FLOAT)
    total = helper.make_node("ReduceSum", ["numbers"], ["total"], keepdims=0)
    nothing = helper.make_node("Mul", ["total", "nought"], ["nothing"])
    nodes = [node, used, total, nothing, helper.make_node("Add", ["zeros", "nothing"], ["output"])]
    return save_network(path, nodes, {"shape": np.array(output), "nought": np.float32(0)}, shape, **options)


@pytest.mark.parametrize(
    ("shape", "output"),
    [
        ([1, 3, 64, 60], [1, 84, 85]),  # not a multiple of 32
        ([1, 1, 64, 64], [1, 84, 85]),  # grey
        ([1, 3, "height", "width"], [1, 84, 85]),  # of any size
        ([1, 64, 64], [1, 84, 85]),
        ([1, 3, 64, 64], [1, 85, 84]),  # turned round
        ([1, 3, 64, 64], [1, 84, 5]),  # no class
        ([1, 3, 64, 64], [84, 85]),
        ([4, 3, 64, 64], [4, 84, 85]),  # four pictures at a time
    ],
)
def test_a_network_of_another_form_is_refused(tmp_path, shape, output):
    path = identity(tmp_path / "other.onnx", shape, output)
    with pytest.raises(SamecarError, match=r"is not in YOLOX form: .*; export it with one input 1×3×height×width"):
        YoloxDetector.open(path)


def test_a_network_of_another_type_is_refused(tmp_path):
    path = identity(tmp_path / "other.onnx", [1, 3, 64, 64], [1, 84, 85], input_type=TensorProto.UINT8)
    with pytest.raises(SamecarError, match="is not in YOLOX form"):
        YoloxDetector.open(path)


def test_confidences_beyond_one_are_refused(tmp_path):
    rows = raw_rows()
    rows[3, 4] = 7
    with pytest.raises(SamecarError, match="its confidences are not between 0 and 1"):
        YoloxDetector.open(constant_detector(tmp_path / "detector.onnx", rows), ["1"])


def test_a_batch_of_any_size_is_fine(tmp_path):
    path = identity(tmp_path / "detector.onnx", ["batch", 3, 64, 64], [1, 84, 85])
    assert len(YoloxDetector.open(path).detect(np.zeros((9, 9, 3), np.uint8), 0.5)) == 0


@pytest.mark.parametrize("name", ["tank", "", "80", "-1", "car,truck"])
def test_a_class_that_coco_lacks_is_refused(tmp_path, name):
    path = constant_detector(tmp_path / "detector.onnx", np.zeros((len(CELLS), 85), np.float32))
    with pytest.raises(SamecarError, match=f"--classes '{name}' .* knows bicycle, car, .* or numbers from 0 to 79"):
        YoloxDetector.open(path, [name])


def test_names_mean_nothing_to_a_detector_of_other_classes(tmp_path):
    path = constant_detector(tmp_path / "detector.onnx", raw_rows(classes=3))
    with pytest.raises(SamecarError, match=r"--classes 'car' .* knows numbers from 0 to 2"):
        YoloxDetector.open(path)


def test_a_detector_that_is_missing_or_broken_is_refused(tmp_path):
    with pytest.raises(SamecarError, match="is not there; give an ONNX file in YOLOX form"):
        YoloxDetector.open(tmp_path / "detector.onnx")
    (tmp_path / "detector.onnx").write_bytes(b"no network")
    with pytest.raises(SamecarError, match="is not an ONNX network that can be run"):
        YoloxDetector.open(tmp_path / "detector.onnx")


def test_without_the_runtime_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SamecarError, match=r'detectors need onnxruntime, .* run `pip install "\.\[films\]"`'):
        YoloxDetector.open(tmp_path / "detector.onnx")


def test_films_wait_for_no_torch():
    check = "import samecar.films, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)
