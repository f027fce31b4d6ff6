"""Boxes around vehicles: (boxes, 4) float32, left, top, right and bottom in pixels."""

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]


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
