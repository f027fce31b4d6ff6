"""Opening a detector of whichever form, which its outputs' names and shapes tell."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from samecar.errors import SamecarError
from samecar.films.detection import Detector
from samecar.films.detectors.class_names import DEFAULT_CLASSES, names_in_metadata
from samecar.films.detectors.detr import (
    BOXES,
    LABELS,
    LOGITS,
    NORMED_BOXES,
    SCORES,
    DetrDetector,
    QueryDetector,
)
from samecar.films.detectors.network import Arrays, Network
from samecar.films.detectors.yolo import SelectedYoloDetector, YoloDetector
from samecar.films.detectors.yolox import YoloxDetector, count_cells

ASSUMED_SIZE = 640
"""Pixels of a side that a file leaves open and does not tell: what all of these networks are trained with."""


def open_detector(
    path: str | Path, classes: Sequence[str] = DEFAULT_CLASSES, class_names: Sequence[str] | None = None
) -> Detector:
    """Loads an ONNX file of a detector.

    Args:
        path: the file, as YOLOX, YOLOv8 and YOLO11, or RT-DETR and D-FINE are exported.
        classes: what counts as a vehicle: names, or numbers of the detector's own classes from 0.
        class_names: what the detector's classes are called, in the order of their numbers: coco, names parted by
            commas, or a text file with a name a line; default: what the file says, else those of COCO where it has 80.

    Raises:
        SamecarError: the file is missing or of no form that is known, or a class is not one of its own.
    """
    network = Network.open(path)
    size = network.picture_size(ASSUMED_SIZE)
    if size is None:
        raise _refusal(network, "")
    names = class_names or names_in_metadata(network.metadata.get("names"))
    outputs = _try_out(network, size)
    if {LOGITS, NORMED_BOXES} <= outputs.keys() and len(network.inputs) == 1:
        return QueryDetector(network, size, classes, names, outputs[LOGITS].shape[-1])
    if {LABELS, BOXES, SCORES} <= outputs.keys() and len(network.inputs) == 2:
        return DetrDetector(network, size, classes, names)
    if len(network.inputs) == len(outputs) == 1:
        (output,) = outputs.values()
        cells = count_cells(*size)
        match output.shape:
            case (1, rows, columns) if rows == cells and columns >= 6:
                return YoloxDetector(network, classes, names)
            case (1, rows, columns) if columns == cells and rows >= 5:
                return YoloDetector(network, size, classes, names, output)
            case (1, _, 6):
                return SelectedYoloDetector(network, size, classes, names)
    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
    raise _refusal(network, f", which for a picture of {size[0]} × {size[1]} pixels are {shapes}")


def _try_out(network: Network, size: tuple[int, int]) -> Arrays:
    """What a network gives for an empty picture."""
    inputs: Arrays = {network.inputs[0].name: np.zeros((1, 3, *size), np.float32)}
    for other in network.inputs[1:]:
        if other.type != "tensor(int64)" or len(other.shape) != 2 or len(network.inputs) > 2:
            raise _refusal(network, "")
        inputs[other.name] = np.array([[size[1], size[0]]], np.int64)
    try:
        return network.run(inputs)
    except Exception as error:  # the runtime's errors have no class in common
        raise _refusal(network, ", and it cannot be run on one picture") from error


def _refusal(network: Network, more: str) -> SamecarError:
    return SamecarError(
        f"detector {network.name} is of no form that is known: {network.describe()}{more}; export it as docs/films.md "
        "says for YOLOX, YOLOv8 and YOLO11, RT-DETR or D-FINE, for one picture at a time, in numbers of 32 bits"
    )
