"""Vehicles in a picture: their boxes, the geometry of these, and what every detector fulfils."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SAME_THING = 0.5
"""Two boxes with a larger intersection over union show the same vehicle, whatever class each of them says."""

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


def select(
    picture: NDArray[np.uint8], boxes: Boxes, scores: NDArray[np.float32], classes: Sequence[str], least: float
) -> Detections:
    """The vehicles among boxes; of boxes on the same thing, the surest.

    Args:
        picture: (height, width, 3), which boxes are cut off at.
        boxes: (boxes, 4) corners in its pixels.
        scores: (boxes, classes) confidence of each class, 0 to 1.
        classes: what each is called.
        least: lowest confidence that is wanted.
    """
    height, width = picture.shape[:2]
    within = np.clip(boxes, 0, np.array([width, height, width, height], np.float32)).astype(np.float32)
    best = scores.argmax(axis=1)
    confidences = scores[np.arange(len(scores)), best]
    sure = np.flatnonzero((confidences >= least) & (areas(within) >= 1))
    kept = sure[suppress(within[sure], confidences[sure], SAME_THING)]
    return Detections(within[kept], confidences[kept], tuple(classes[number] for number in best[kept]))


def corners_of(centred: Boxes) -> Boxes:
    """(boxes, 4) left, top, right, bottom of boxes that are given as centre, width and height."""
    centre, size = centred[:, :2], centred[:, 2:4]
    corners: Boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
    return corners
