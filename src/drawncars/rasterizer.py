"""Triangles to picture: which triangle each pixel shows, and what the triangle's corners say there.

Everything is done for all triangles at once: they are cut into rows, the rows into pixels, and for each pixel the
nearest triangle is kept.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


class Visible(NamedTuple):
    """The pixels that show a triangle.

    Attributes:
        pixels: Their numbers, row by row; (pixels,).
        triangles: The triangle that each shows; (pixels,).
        weights: How much each corner counts there, perspective taken into account; (pixels, 3).
        nearness: One over the depth; (pixels,).
    """

    pixels: Integers
    triangles: Integers
    weights: Floats
    nearness: Floats


def rasterize(corners: Floats, nearness: Floats, width: int, height: int) -> Visible:
    """Find what each pixel of a picture shows.

    Args:
        corners: Places of the triangles' corners in the picture, in pixels; (triangles, 3, 2).
        nearness: One over the depth of each corner; (triangles, 3).
        width: Of the picture in pixels.
        height: Of the picture in pixels.
    """
    rows_of, rows, first, span, offset = _spans(corners, width, height)
    columns = first[span] + offset
    triangles = rows_of[span]
    planes = _planes(corners, nearness)
    start = planes[rows_of, 0] + planes[rows_of, 1] * (first + 0.5) + planes[rows_of, 2] * (rows + 0.5)
    near = (np.take(start, span) + np.take(planes[rows_of, 1], span) * offset).astype(np.float32)
    pixels = rows[span] * width + columns
    nearest = np.zeros(width * height, dtype=np.float32)
    np.maximum.at(nearest, pixels, near)
    wins = near == nearest[pixels]
    shown = np.full(width * height, -1, dtype=np.int64)
    shown[pixels[wins]] = triangles[wins]
    seen = np.flatnonzero(shown >= 0)
    return Visible(seen, shown[seen], _weights(corners, nearness, seen, shown[seen], width), nearest[seen])


def outline(corners: Floats, width: int, height: int) -> npt.NDArray[np.bool_]:
    """Which pixels any of some triangles, (triangles, 3, 2), covers; (height, width)."""
    _, rows, first, span, offset = _spans(corners, width, height)
    mask = np.zeros(width * height, dtype=np.bool_)
    mask[rows[span] * width + first[span] + offset] = True
    return mask.reshape(height, width)


def _spans(corners: Floats, width: int, height: int) -> tuple[Integers, Integers, Integers, Integers, Integers]:
    """Cut triangles into rows and the rows into pixels.

    Returns:
        For each row of a triangle: the triangle, the picture's row, the first column; for each pixel: which of those
        rows it belongs to, and how many columns it lies after the first.
    """
    rows_of, rows = _rows(corners, height)
    left, right = _crossings(np.take(corners, rows_of, axis=0), rows + np.float32(0.5))
    first = np.clip(np.ceil(left - 0.5), 0, width).astype(np.int64)
    last = np.clip(np.ceil(right - 0.5), 0, width).astype(np.int64)
    count = np.maximum(last - first, 0)
    span = np.repeat(np.arange(len(count)), count)
    offset = np.arange(len(span)) - np.repeat(np.cumsum(count) - count, count)
    return rows_of, rows, first, span, offset


def _rows(corners: Floats, height: int) -> tuple[Integers, Integers]:
    """The rows of pixels that each triangle touches: the triangle's number and the row, for all rows of all."""
    one, two, three = corners[:, 0, 1], corners[:, 1, 1], corners[:, 2, 1]
    low, high = np.minimum(np.minimum(one, two), three), np.maximum(np.maximum(one, two), three)
    first = np.clip(np.ceil(low - 0.5), 0, height).astype(np.int64)
    count = np.maximum(np.clip(np.ceil(high - 0.5), 0, height).astype(np.int64) - first, 0)
    triangle = np.repeat(np.arange(len(count)), count)
    row = np.arange(len(triangle)) - np.repeat(np.cumsum(count) - count, count) + first[triangle]
    return triangle, row


def _crossings(corners: Floats, at: Floats) -> tuple[Floats, Floats]:
    """Where a row's middle enters and leaves its triangle."""
    left = np.full(len(at), np.inf, dtype=np.float32)
    right = np.full(len(at), -np.inf, dtype=np.float32)
    for one, other in ((0, 1), (1, 2), (2, 0)):
        x_one, y_one = corners[:, one, 0], corners[:, one, 1]
        rise = corners[:, other, 1] - y_one
        flat = rise == 0
        share = (at - y_one) / np.where(flat, 1, rise)
        x = x_one + share * (corners[:, other, 0] - x_one)
        crosses = (share >= 0) & (share <= 1) & ~flat
        left = np.where(crosses & (x < left), x, left)
        right = np.where(crosses & (x > right), x, right)
    empty = left > right
    return np.where(empty, 0, left), np.where(empty, 0, right)


def _planes(corners: Floats, values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """For values at corners the plane through them: constant, slope along a row, slope down; (triangles, 3)."""
    xy = corners.astype(np.float64)
    one, other = xy[:, 1] - xy[:, 0], xy[:, 2] - xy[:, 0]
    area = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    area = np.where(np.abs(area) < 1e-9, 1e-9, area)
    rise_one, rise_other = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    along = (rise_one * other[:, 1] - rise_other * one[:, 1]) / area
    down = (rise_other * one[:, 0] - rise_one * other[:, 0]) / area
    return np.stack([values[:, 0] - along * xy[:, 0, 0] - down * xy[:, 0, 1], along, down], axis=1)


def _weights(corners: Floats, nearness: Floats, pixels: Integers, triangles: Integers, width: int) -> Floats:
    x = (pixels % width + 0.5).astype(np.float32)
    y = (pixels // width + 0.5).astype(np.float32)
    weights = np.empty((len(pixels), 3), dtype=np.float32)
    for corner in range(3):
        values = np.zeros((len(corners), 3))
        values[:, corner] = 1
        plane = (_planes(corners, values) * nearness[:, corner, None]).astype(np.float32)
        constant, along, down = (np.take(plane[:, part], triangles) for part in range(3))
        weights[:, corner] = constant + along * x + down * y
    weights = np.maximum(weights, 0)
    total = weights[:, 0] + weights[:, 1] + weights[:, 2]
    return np.asarray(weights / np.maximum(total, np.float32(1e-12))[:, None])
