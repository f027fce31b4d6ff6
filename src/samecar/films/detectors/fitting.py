"""Fitting pictures into what a detector takes, and its boxes back into the picture."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samecar.films.detection import Boxes

PADDING = 114
"""Grey that detectors of the YOLO family fill the rest of their input with."""


class Fitted(NamedTuple):
    """A picture as a detector takes it.

    Attributes:
        pixels: (1, 3, height, width) float32, red, green, blue, 0 to 255.
        scale: (2,) by how much it was made larger, across and down.
        offset: (2,) pixels to its left, and above it.
    """

    pixels: NDArray[np.float32]
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]

    def boxes_in_picture(self, boxes: Boxes) -> Boxes:
        """(boxes, 4) corners in pixels of the picture, given those in pixels of the input."""
        return ((boxes - np.tile(self.offset, 2)) / np.tile(self.scale, 2)).astype(np.float32)


def letterbox(picture: NDArray[np.uint8], height: int, width: int, *, centred: bool = False) -> Fitted:
    """Fits a picture into a network's input with its shape kept; the rest becomes grey.

    Args:
        picture: (height, width, 3) red, green, blue.
        height: of the input.
        width: of the input.
        centred: whether it lies in the middle, not in the upper left.
    """
    scale = min(height / picture.shape[0], width / picture.shape[1])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    left, top = ((width - size[0]) // 2, (height - size[1]) // 2) if centred else (0, 0)
    canvas = np.full((height, width, 3), PADDING, np.float32)
    canvas[top : top + size[1], left : left + size[0]] = _resize(picture, size)
    return _fitted(canvas, (scale, scale), (left, top))


def stretch(picture: NDArray[np.uint8], height: int, width: int) -> Fitted:
    """Fits a picture into a network's input whatever its shape; arguments as of `letterbox`."""
    scale = width / picture.shape[1], height / picture.shape[0]
    return _fitted(_resize(picture, (width, height)), scale, (0, 0))


def _resize(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR), np.float32)


def _fitted(canvas: NDArray[np.float32], scale: tuple[float, float], offset: tuple[int, int]) -> Fitted:
    pixels = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])
    return Fitted(pixels, np.array(scale, np.float32), np.array(offset, np.float32))
