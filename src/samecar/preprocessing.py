"""What is done to every picture before a model sees it, as a value that the model hands over whole."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
"""A picture in a model's size, (3, height, width): red, green and blue from 0 to 255."""

Reading = Literal["exact", "quick"]
"""How pictures are decoded and resized: 'exact' as Pillow does it, 'quick' with a level more or less here or there."""


@dataclass(frozen=True)
class Preprocessing:
    """The pictures that a model takes: their size, how their colours are normalised, and how they are read.

    Attributes:
        height: of the pictures, in pixels.
        width: of the pictures, in pixels.
        mean: of R, G and B in 0..1; subtracted from pictures.
        deviation: of R, G and B in 0..1; pictures are then divided by it.
        reading: how they are decoded and resized.
    """

    height: int
    width: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    reading: Reading = "exact"

    @property
    def decoded_size(self) -> tuple[int, int]:
        """Height and width below which a picture is not decoded.

        Exact reading takes twice its own, which leaves resizing something to do, and quick reading its own.
        """
        scale = 2 if self.reading == "exact" else 1
        return scale * self.height, scale * self.width

    def pixels(self, picture: Image.Image) -> Pixels:
        """An upright RGB picture in the model's size; what is left to do is quicker for a whole batch."""
        if self.reading == "quick":
            return _resize_quickly(picture, self.height, self.width).transpose(2, 0, 1)
        return np.array(resize_picture(picture, self.height, self.width)).transpose(2, 0, 1)

    def as_facts(self) -> dict[str, Any]:
        """What files keep of it; exact reading is not said, as it was not when there was no other."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("reading", "exact")}


def resize_picture(picture: Image.Image, height: int, width: int, reading: Reading = "exact") -> Image.Image:
    """Resizes an RGB picture, the same way in training, evaluation and search: bilinear over all pixels in one.

    Args:
        picture: of any size.
        height: of the result, in pixels.
        width: of the result, in pixels.
        reading: 'exact' as Pillow does it, or 'quick': in a sixth of the time, and the same but for rounding.
    """
    if reading == "quick":
        return Image.fromarray(_resize_quickly(picture, height, width))
    return picture.resize((width, height), Image.Resampling.BILINEAR)


def _resize_quickly(picture: Image.Image, height: int, width: int) -> NDArray[np.uint8]:
    """Resizes with weights of 16 bits, eight or more at a time, on each processor alike; (height, width, 3)."""
    from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer

    given = ImageData(picture.width, picture.height, PixelType.U8x3, picture.tobytes())
    resized = ImageData(width, height, PixelType.U8x3)
    Resizer().resize(given, resized, ResizeOptions(ResizeAlg.convolution(FilterType.bilinear)))
    return np.frombuffer(resized.get_buffer(), np.uint8).reshape(height, width, 3).copy()
