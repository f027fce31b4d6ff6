"""What is done to every picture before a model sees it, as a value that the model hands over whole."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
"""A picture in a model's size, (3, height, width): red, green and blue from 0 to 255."""


@dataclass(frozen=True)
class Preprocessing:
    """The pictures that a model takes: their size, and how their colours are normalised.

    Attributes:
        height: of the pictures, in pixels.
        width: of the pictures, in pixels.
        mean: of R, G and B in 0..1; subtracted from pictures.
        deviation: of R, G and B in 0..1; pictures are then divided by it.
    """

    height: int
    width: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def decoded_size(self) -> tuple[int, int]:
        """Height and width below which a picture is not decoded; twice its own leaves resizing something to do."""
        return 2 * self.height, 2 * self.width

    def pixels(self, picture: Image.Image) -> Pixels:
        """An upright RGB picture in the model's size; what is left to do is quicker for a whole batch."""
        return np.array(resize_picture(picture, self.height, self.width)).transpose(2, 0, 1)


def resize_picture(picture: Image.Image, height: int, width: int) -> Image.Image:
    """Resizes a picture, the same way in training, evaluation and search: bilinear over all pixels that fall into one.

    Args:
        picture: of any size.
        height: of the result, in pixels.
        width: of the result, in pixels.
    """
    return picture.resize((width, height), Image.Resampling.BILINEAR)
