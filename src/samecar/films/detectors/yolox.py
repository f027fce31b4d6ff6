"""Detectors in the form of YOLOX."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.films.detection import Boxes, Detections, corners_of, select
from samecar.films.detectors.class_names import DEFAULT_CLASSES, choose_numbers, names_in_metadata
from samecar.films.detectors.fitting import PADDING, letterbox
from samecar.films.detectors.network import Network

STRIDES = (8, 16, 32)
"""YOLO networks predict one box in each cell of three grids, whose cells are so many pixels wide."""


class YoloxDetector:
    """A detector in YOLOX form: 1×3×height×width in, blue, green, red, 0 to 255; 1×cells×(5 + classes) out.

    Each row of the output is a box's centre, width and height, the confidence that there is something, and the
    confidence of each class. Exports with and without the last step, which turns numbers within a grid's cell to
    pixels, are told apart by what they give for an empty picture.
    """

    def __init__(self, network: Network, classes: Sequence[str], names: Sequence[str] | None = None) -> None:
        """Checks the form and the classes.

        Raises:
            SamecarError: the network has another form, or a class is not one of its own.
        """
        self._network = network
        self._height, self._width = self._check_input()
        self._grid, self._cell = _grid(self._height, self._width)
        rows = self._probe()
        # Centres in pixels lie half way across the picture on average, numbers within a cell about 0.
        self._in_pixels = bool(np.median(rows[:, 0]) > self._width / 4)
        self._classes = tuple(classes)
        names = names or names_in_metadata(network.metadata.get("names"))
        self._numbers = choose_numbers(classes, names, rows.shape[1] - 5, network.name)

    @classmethod
    def open(cls, path: str | Path, classes: Sequence[str] = DEFAULT_CLASSES) -> Self:
        """Loads an ONNX file.

        Args:
            path: the file.
            classes: what counts as a vehicle: COCO's names, or numbers of the detector's own classes from 0.

        Raises:
            SamecarError: the file is missing or no network in YOLOX form, or a class is not one of its own.
        """
        return cls(Network.open(path), classes)

    def detect(self, picture: NDArray[np.uint8], least: float) -> Detections:
        """Vehicles in a picture; of boxes on the same thing, the surest."""
        fitted = letterbox(picture, self._height, self._width)
        rows = self._run(fitted.pixels[:, ::-1])
        scores = rows[:, 4:5] * rows[:, 5:][:, self._numbers]  # (cells, chosen classes)
        return select(picture, fitted.boxes_in_picture(self._boxes(rows)), scores, self._classes, least)

    def _boxes(self, rows: NDArray[np.float32]) -> Boxes:
        """(cells, 4) corners in pixels of the network's input."""
        centre, size = rows[:, :2], rows[:, 2:4]
        if not self._in_pixels:
            centre, size = (centre + self._grid) * self._cell, np.exp(size) * self._cell
        return corners_of(np.concatenate([centre, size], axis=1))

    def _run(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        name = self._network.inputs[0].name
        (rows,) = self._network.run({name: np.ascontiguousarray(tensor)}).values()
        first: NDArray[np.float32] = rows[0]
        return first

    def _check_input(self) -> tuple[int, int]:
        inputs, outputs = self._network.inputs, self._network.outputs
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
            f"detector {self._network.name} is not in YOLOX form: {reason}; export it with one input 1×3×height×width, "
            f"both multiples of {STRIDES[-1]}, and one output 1×cells×(5 + classes) for strides 8, 16 and 32"
        )


def _grid(height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row of each cell of all grids, (cells, 2), and its width in pixels, (cells, 1)."""
    places, sizes = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        places.append(np.stack([columns, rows], axis=2).reshape(-1, 2))
        sizes.append(np.full((rows.size, 1), stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(sizes).astype(np.float32)


def count_cells(height: int, width: int) -> int:
    """Cells of all grids in an input."""
    return sum((height // stride) * (width // stride) for stride in STRIDES)
