"""Finding vehicles in a picture with a detector of the user's own: an ONNX file in YOLOX form."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samecar.errors import SamecarError, missing_library
from samecar.files import as_path

if TYPE_CHECKING:
    from types import ModuleType

COCO_CLASSES = 80
"""Classes of a detector that was trained on COCO; only then do names mean anything."""

COCO_VEHICLES = {"bicycle": 1, "car": 2, "motorcycle": 3, "bus": 5, "train": 6, "truck": 7}
"""COCO's number of each kind of vehicle."""

DEFAULT_CLASSES = ("car", "motorcycle", "bus", "truck")
"""What counts as a vehicle unless the user says otherwise."""

STRIDES = (8, 16, 32)
"""YOLOX predicts one box in each cell of three grids, whose cells are so many pixels wide."""

PADDING = 114
"""Grey that YOLOX fills the rest of its input with."""

SAME_THING = 0.5
"""Two boxes with a larger intersection over union show the same vehicle, whatever class each of them says."""

THREADS = 2
"""Of the detector; decoding and the embedder need cores too."""

Boxes = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Detections:
    """Vehicles in one picture, surest first.

    Attributes:
        boxes: (vehicles, 4) left, top, right, bottom in pixels, within the picture.
        confidences: (vehicles,) float32, 0 to 1.
        kinds: for each vehicle, the name or number of its class, as the user gave it.
    """

    boxes: Boxes
    confidences: NDArray[np.float32]
    kinds: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.boxes)

    def of_size(self, least: float) -> "Detections":
        """Those whose shorter side has so many pixels or more."""
        large = np.flatnonzero((self.boxes[:, 2:] - self.boxes[:, :2]).min(axis=1) >= least)
        return Detections(self.boxes[large], self.confidences[large], tuple(self.kinds[i] for i in large))


class Detector(Protocol):
    """Whatever finds vehicles in pictures."""

    def detect(self, picture: NDArray[np.uint8], least: float) -> Detections:
        """Vehicles in a picture.

        Args:
            picture: (height, width, 3) red, green, blue.
            least: lowest confidence that is wanted.
        """
        ...


class YoloxDetector:
    """A detector in YOLOX form: 1×3×height×width in, blue, green, red, 0 to 255; 1×cells×(5 + classes) out.

    Each row of the output is a box's centre, width and height, the confidence that there is something, and the
    confidence of each class. Exports with and without the last step, which turns numbers within a grid's cell to
    pixels, are told apart by what they give for an empty picture.
    """

    def __init__(self, session: Any, name: str, classes: Sequence[str]) -> None:
        """Checks the form and the classes.

        Raises:
            SamecarError: the network has another form, or a class is not one of its own.
        """
        self._session = session
        self._name = name
        self._height, self._width = self._check_input()
        self._grid, self._cell = _grid(self._height, self._width)
        rows = self._probe()
        self._class_count = rows.shape[1] - 5
        # Centres in pixels lie half way across the picture on average, numbers within a cell about 0.
        self._in_pixels = bool(np.median(rows[:, 0]) > self._width / 4)
        self._classes = tuple(classes)
        self._numbers = [self._class_number(text) for text in classes]

    @classmethod
    def open(cls, path: str | Path, classes: Sequence[str] = DEFAULT_CLASSES) -> Self:
        """Loads an ONNX file.

        Args:
            path: the file.
            classes: what counts as a vehicle: COCO's names, or numbers of the detector's own classes from 0.

        Raises:
            SamecarError: the file is missing or no network in YOLOX form, or a class is not one of its own.
        """
        runtime = _onnxruntime()
        path = as_path(path, "detector")
        if not path.is_file():
            raise SamecarError(f"detector {path} is not there; give an ONNX file in YOLOX form, see docs/films.md")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.log_severity_level = 3  # errors only
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no class in common
            raise SamecarError(f"detector {path} is not an ONNX network that can be run; export it anew") from error
        return cls(session, str(path), classes)

    def detect(self, picture: NDArray[np.uint8], least: float) -> Detections:
        """Vehicles in a picture; of boxes on the same thing, the surest."""
        scale, tensor = letterbox(picture, self._height, self._width)
        rows = self._run(tensor)
        scores = rows[:, 4:5] * rows[:, 5:][:, self._numbers]  # (cells, chosen classes)
        best = scores.argmax(axis=1)
        confidences = scores[np.arange(len(rows)), best]
        height, width = picture.shape[:2]
        boxes = np.clip(self._boxes(rows) / scale, 0, np.array([width, height, width, height], np.float32))
        sure = np.flatnonzero((confidences >= least) & (areas(boxes) >= 1))
        kept = sure[suppress(boxes[sure], confidences[sure], SAME_THING)]
        return Detections(boxes[kept], confidences[kept], tuple(self._classes[number] for number in best[kept]))

    def _boxes(self, rows: NDArray[np.float32]) -> Boxes:
        """(cells, 4) corners in pixels of the network's input."""
        centre, size = rows[:, :2], rows[:, 2:4]
        if not self._in_pixels:
            centre, size = (centre + self._grid) * self._cell, np.exp(size) * self._cell
        boxes: Boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
        return boxes

    def _run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = self._session.run(None, {self._session.get_inputs()[0].name: tensor})[0][0]
        return rows

    def _check_input(self) -> tuple[int, int]:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = inputs[0].shape
        fixed = len(shape) == 4 and all(isinstance(side, int) and side % STRIDES[-1] == 0 for side in shape[2:])
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type != "tensor(float)" or not fixed or shape[1] != 3:
            raise self._refusal(
                f"its inputs are {[item.shape for item in inputs]} and its outputs {[item.shape for item in outputs]}"
            )
        return shape[2], shape[3]

    def _probe(self) -> NDArray[np.float32]:
        """Checks the output for an empty picture, and gives it."""
        empty = np.full((1, 3, self._height, self._width), PADDING, np.float32)
        try:
            rows = self._run(empty)
        except Exception as error:  # the runtime's errors have no class in common
            raise self._refusal("it cannot be run on one picture") from error
        if rows.ndim != 2 or rows.shape[0] != len(self._grid) or rows.shape[1] < 6:
            raise self._refusal(f"its output for one picture is {rows.shape}, for {len(self._grid)} cells")
        if rows[:, 4:].min() < 0 or rows[:, 4:].max() > 1:
            raise self._refusal("its confidences are not between 0 and 1")
        return rows

    def _refusal(self, reason: str) -> SamecarError:
        return SamecarError(
            f"detector {self._name} is not in YOLOX form: {reason}; export it with one input 1×3×height×width, both "
            f"multiples of {STRIDES[-1]}, and one output 1×cells×(5 + classes) for strides 8, 16 and 32"
        )

    def _class_number(self, text: str) -> int:
        if text.isdecimal() and int(text) < self._class_count:
            return int(text)
        if text in COCO_VEHICLES and self._class_count == COCO_CLASSES:
            return COCO_VEHICLES[text]
        names = f"{', '.join(COCO_VEHICLES)} or " if self._class_count == COCO_CLASSES else ""
        raise SamecarError(
            f"--classes {text!r} is not a class of detector {self._name}; it knows {names}numbers from 0 to "
            f"{self._class_count - 1}"
        )


def letterbox(picture: NDArray[np.uint8], height: int, width: int) -> tuple[float, NDArray[np.float32]]:
    """Fits a picture into the upper left of a network's input.

    Returns:
        By how much it was made larger, and the input (1, 3, height, width), blue, green, red, 0 to 255.
    """
    scale = min(height / picture.shape[0], width / picture.shape[1])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    canvas = np.full((height, width, 3), PADDING, np.float32)
    resized = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
    canvas[: size[1], : size[0]] = np.asarray(resized)[:, :, ::-1]
    return scale, np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])


def _grid(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row of each cell of all grids, (cells, 2), and its width in pixels, (cells, 1)."""
    places, sizes = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        places.append(np.stack([columns, rows], axis=2).reshape(-1, 2))
        sizes.append(np.full((rows.size, 1), stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(sizes).astype(np.float32)


def _onnxruntime() -> "ModuleType":
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_library("detectors need", "onnxruntime", "films") from error
    module: ModuleType = onnxruntime
    return module


def areas(boxes: Boxes) -> NDArray[np.float32]:
    """(boxes,) in pixels; a box that is turned inside out has none."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    product: NDArray[np.float32] = sides[:, 0] * sides[:, 1]
    return product


def intersections(first: Boxes, second: Boxes) -> NDArray[np.float32]:
    """(first, second) pixels that two boxes share."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    sides = np.maximum(high - low, 0)
    product: NDArray[np.float32] = sides[..., 0] * sides[..., 1]
    return product


def overlaps(first: Boxes, second: Boxes) -> NDArray[np.float32]:
    """(first, second) intersection over union, 0 to 1; boxes without area overlap nothing."""
    shared = intersections(first, second)
    union = areas(first)[:, None] + areas(second)[None, :] - shared
    shares: NDArray[np.float32] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return shares


def closeness(first: Boxes, second: Boxes) -> NDArray[np.float32]:
    """(first, second) distance-IoU, -1 to 1: it also tells how far apart boxes are that do not overlap.

    Intersection over union, less the squared distance of the centres over the squared diagonal of the smallest box
    that holds both.
    """
    low = np.minimum(first[:, None, :2], second[None, :, :2])
    high = np.maximum(first[:, None, 2:], second[None, :, 2:])
    diagonal = ((high - low) ** 2).sum(axis=2)
    distance = ((centres(first)[:, None] - centres(second)[None, :]) ** 2).sum(axis=2)
    apart: NDArray[np.float32] = np.divide(distance, diagonal, out=np.zeros_like(distance), where=diagonal > 0)
    return overlaps(first, second) - apart


def centres(boxes: Boxes) -> NDArray[np.float32]:
    """(boxes, 2) the middle of each box, x and y."""
    return (boxes[:, :2] + boxes[:, 2:]) / np.float32(2)


def suppress(boxes: Boxes, confidences: NDArray[np.float32], limit: float) -> NDArray[np.int64]:
    """Non-maximum suppression: of boxes that show the same thing, the surest one stays.

    Args:
        boxes: (boxes, 4).
        confidences: (boxes,).
        limit: a box that overlaps a surer one that stays by more than this intersection over union goes.

    Returns:
        Numbers of the boxes that stay, surest first, equally sure ones in their order.
    """
    waiting = np.argsort(-confidences, kind="stable")
    kept: list[int] = []
    while len(waiting):
        surest, rest = waiting[0], waiting[1:]
        kept.append(int(surest))
        waiting = rest[overlaps(boxes[surest, None], boxes[rest])[0] <= limit]
    return np.array(kept, dtype=np.int64)
