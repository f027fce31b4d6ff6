"""Detectors in the forms in which RT-DETR, D-FINE and their like are exported.

They take the picture stretched to their input, red, green and blue from 0 to 1, and choose among boxes themselves.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from samecar.films.detection import Boxes, Detections, corners_of, select
from samecar.films.detectors.class_names import choose_numbers
from samecar.films.detectors.fitting import stretch
from samecar.films.detectors.network import Network
from samecar.films.detectors.yolo import scores_of

LABELS, BOXES, SCORES = "labels", "boxes", "scores"
LOGITS, NORMED_BOXES = "logits", "pred_boxes"


class DetrDetector:
    """A detector as the authors' own `export_onnx.py` writes it: `labels`, `boxes` and `scores`.

    Its second input is the picture's width and height; boxes are left, top, right and bottom in its pixels.

    Args:
        network: of this form.
        size: height and width of its input.
        classes: what counts as a vehicle.
        names: of its classes; None where nobody knows, since the file does not even say how many there are.

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
        pixels = stretch(picture, *self._size).pixels / np.float32(255)
        height, width = picture.shape[:2]
        images, sizes = (item.name for item in self._network.inputs)
        found = self._network.run({images: pixels, sizes: np.array([[width, height]], np.int64)})
        scores = scores_of(found[LABELS][0], found[SCORES][0], self._numbers)
        return select(picture, found[BOXES][0], scores, self._classes, least)


class QueryDetector:
    """A detector as the library transformers exports it: `logits` of each class, and `pred_boxes`.

    Boxes are centre, width and height as shares of the picture.

    Args:
        network: of this form.
        size: height and width of its input.
        classes: what counts as a vehicle.
        names: of its classes; None where nobody knows.
        count: number of its classes.

    Raises:
        SamecarError: a class is not one of its own.
    """

    def __init__(
        self,
        network: Network,
        size: tuple[int, int],
        classes: Sequence[str],
        names: Sequence[str] | None,
        count: int,
    ) -> None:
        self._network, self._size, self._classes = network, size, tuple(classes)
        self._numbers = choose_numbers(classes, names, count, network.name)

    def detect(self, picture: NDArray[np.uint8], least: float) -> Detections:
        """Vehicles in a picture; of boxes on the same thing, the surest."""
        pixels = stretch(picture, *self._size).pixels / np.float32(255)
        found = self._network.run({self._network.inputs[0].name: pixels})
        logits = np.clip(found[LOGITS][0][:, self._numbers], -50, 50)  # (boxes, chosen classes)
        height, width = picture.shape[:2]
        boxes: Boxes = corners_of(found[NORMED_BOXES][0]) * np.array([width, height, width, height], np.float32)
        scores: NDArray[np.float32] = (1 / (1 + np.exp(-logits))).astype(np.float32)
        return select(picture, boxes, scores, self._classes, least)
