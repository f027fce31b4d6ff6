"""Detectors in the forms in which YOLOv8, YOLO11 and their like are exported."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.films.detection import Boxes, Detections, corners_of, select
from samecar.films.detectors.class_names import choose_numbers
from samecar.films.detectors.fitting import letterbox
from samecar.films.detectors.network import Network


class YoloDetector:
    """A detector that takes red, green and blue from 0 to 1, and gives 1×(4 + classes)×cells.

    Each column is a box's centre, width and height in pixels of the input, and the confidence of each class.

    Args:
        network: of this form.
        size: height and width of its input.
        classes: what counts as a vehicle.
        names: of its classes; None where nobody knows.
        output: what it gives for an empty picture.

    Raises:
        SamecarError: a class is not one of its own, or confidences are none.
    """

    def __init__(
        self,
        network: Network,
        size: tuple[int, int],
        classes: Sequence[str],
        names: Sequence[str] | None,
        output: NDArray[np.float32],
    ) -> None:
        self._network, self._size, self._classes = network, size, tuple(classes)
        self._numbers = choose_numbers(classes, names, output.shape[1] - 4, network.name)
        confidences = output[0, 4:]
        if confidences.min() < 0 or confidences.max() > 1:
            raise SamecarError(
                f"detector {network.name} gives confidences that are not between 0 and 1; export it anew, with its "
                "last step"
            )

    def detect(self, picture: NDArray[np.uint8], least: float) -> Detections:
        """Vehicles in a picture; of boxes on the same thing, the surest."""
        fitted = letterbox(picture, *self._size, centred=True)
        rows = run_on(self._network, fitted.pixels)[0].T  # (cells, 4 + classes)
        boxes = fitted.boxes_in_picture(corners_of(rows[:, :4]))
        return select(picture, boxes, rows[:, 4:][:, self._numbers], self._classes, least)


class SelectedYoloDetector:
    """The same, exported so that it chooses among its boxes itself; it gives 1×boxes×6.

    Each row is a box's left, top, right and bottom in pixels of the input, its confidence, and its class.

    Args:
        network: of this form.
        size: height and width of its input.
        classes: what counts as a vehicle.
        names: of its classes; None where nobody knows.

    Raises:
        SamecarError: a class is not one of its own.
    """

    def __init__(
        self, network: Network, size: tuple[int, int], classes: Sequence[str], names: Sequence[str] | None
    ) -> None:
        self._network, self._size, self._classes = network, size, tuple(classes)
        self._numbers = choose_numbers(classes, names, None if names is None else len(names), network.name)

    def detect(self, picture: NDArray[np.uint8], least: float) -> Detections:
        """Vehicles in a picture; of boxes on the same thing, the surest."""
        fitted = letterbox(picture, *self._size, centred=True)
        rows = run_on(self._network, fitted.pixels)[0]  # (boxes, 6)
        scores = scores_of(rows[:, 5], rows[:, 4], self._numbers)
        return select(picture, fitted.boxes_in_picture(rows[:, :4]), scores, self._classes, least)


def run_on(network: Network, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The one output of a network that takes colours from 0 to 1."""
    (output,) = network.run({network.inputs[0].name: pixels / np.float32(255)}).values()
    found: NDArray[np.float32] = output
    return found


def scores_of(labels: NDArray[np.generic], confidences: Boxes, numbers: Sequence[int]) -> NDArray[np.float32]:
    """(boxes, classes) confidence of each class that counts, given each box's class and confidence.

    Args:
        labels: (boxes,) numbers of classes.
        confidences: (boxes,).
        numbers: of the classes that count.
    """
    is_class = labels.round().astype(np.int64)[:, None] == np.array(numbers)[None, :]
    return np.where(is_class, confidences[:, None], np.float32(0)).astype(np.float32)
