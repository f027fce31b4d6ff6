"""Changes of a picture, one at a time: of the picture itself, or of its numbers."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torchvision.transforms import v2

from samecar.preprocessing import Reading, resize_picture

Colours = NDArray[np.uint8]
"""A picture, (height, width, 3): red, green and blue from 0 to 255."""

TensorTransform = Callable[[torch.Tensor], torch.Tensor]
"""A tensor to a tensor of the same shape."""

TRANSLATION_SCALE: Final = 1.125
JITTERED: Final = ("brightness", "contrast", "saturation", "hue")

COLOUR_EIGENVALUES: Final = (0.2175, 0.0188, 0.0045)
COLOUR_EIGENVECTORS: Final = (  # as columns; rows are R, G, B
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)
COLOUR_DEVIATION: Final = 0.1

_ATTEMPTS: Final = 100


class Change(ABC):
    """A random change of a tensor (3, height, width), whose numbers are drawn before the tensor is there."""

    @abstractmethod
    def draw(self, height: int, width: int) -> TensorTransform | None:
        """Draws what becomes of a picture of this size; None if nothing does."""

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        """Gives the changed picture, or the picture itself."""
        drawn = self.draw(*picture.shape[1:])
        return picture if drawn is None else drawn(picture)


class CentreCrop:
    """Keeps the middle of a picture and resizes it back to the picture's own size.

    Args:
        share: of each side that is kept, above 0 and at most 1.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Crops and resizes an RGB picture."""
        left, top = (side * (1 - self.share) / 2 for side in picture.size)
        box = (left, top, picture.width - left, picture.height - top)
        return picture.resize(picture.size, Image.Resampling.BILINEAR, box=box)


@dataclass(frozen=True)
class Resize:
    """Resizes a picture as `resize_picture` does.

    Attributes:
        height: of the result, in pixels.
        width: of the result, in pixels.
        reading: exact or quick.
    """

    height: int
    width: int
    reading: Reading = "exact"

    @property
    def sizes(self) -> "tuple[Resize, ...]":
        """All sizes that a picture may be resized to."""
        return (self,)

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Resizes a picture."""
        return resize_picture(picture, self.height, self.width, self.reading)

    def take(self, resized: "Resized") -> Colours:
        """Takes the picture that is resized so."""
        return resized(self)


Resized = Callable[[Resize], Colours]
"""Gives one and the same picture in a size."""


class RandomTranslation:
    """Resizes a picture; with some probability to 1.125 of each side, of which it cuts out the size at random.

    Args:
        height: of the result, in pixels.
        width: of the result, in pixels.
        probability: of the cut; otherwise the picture is just resized.
        reading: exact or quick.
    """

    def __init__(self, height: int, width: int, probability: float, reading: Reading = "exact") -> None:
        self.height = height
        self.width = width
        self.probability = probability
        self._resize = Resize(height, width, reading)
        larger = round(height * TRANSLATION_SCALE), round(width * TRANSLATION_SCALE)
        self._enlarge = Resize(*larger, reading)

    @property
    def sizes(self) -> tuple[Resize, ...]:
        """All sizes that a picture may be resized to."""
        return (self._resize,) * (self.probability < 1) + (self._enlarge,) * (self.probability > 0)

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Resizes an RGB picture, perhaps a part of it."""
        return Image.fromarray(np.array(self.take(lambda resize: np.asarray(resize(picture)))))

    def take(self, resized: Resized) -> Colours:
        """Takes the picture that is resized, or a part of it; a view, not a copy."""
        if not _happens(self.probability):
            return resized(self._resize)
        larger = resized(self._enlarge)
        left = int(torch.randint(larger.shape[1] - self.width + 1, ()))
        top = int(torch.randint(larger.shape[0] - self.height + 1, ()))
        return larger[top : top + self.height, left : left + self.width]


class RandomFlip:
    """Mirrors a picture from left to right with some probability.

    Args:
        probability: of the change.
    """

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, picture: Colours) -> Colours:
        """Gives the mirrored picture, a view, or the picture itself."""
        return picture[:, ::-1] if _happens(self.probability) else picture


class OfPictures:
    """Does what takes a picture of Pillow, and not its colours.

    Args:
        steps: one after the other.
    """

    def __init__(self, steps: Sequence[Callable[[Image.Image], Image.Image]]) -> None:
        self._steps = steps

    def __call__(self, picture: Colours) -> Colours:
        """Gives the changed picture."""
        changed = Image.fromarray(np.ascontiguousarray(picture))
        for step in self._steps:
            changed = step(changed)
        return np.asarray(changed)


class ColourJitter(Change):
    """Changes brightness, contrast, saturation and hue in a random order, as torchvision does.

    Works on a tensor (3, height, width) from 0 to 1.

    Args:
        strengths: for each of `JITTERED`.
    """

    def __init__(self, strengths: Mapping[str, float]) -> None:
        self._jitter = v2.ColorJitter(**strengths)

    def draw(self, height: int, width: int) -> TensorTransform:
        """Draws the order and the strengths."""
        del height, width
        return partial(self._jitter.transform, params=self._jitter.make_params([]))


class PCAColour(Change):
    """Moves all pixels along the principal axes of ImageNet's colours, as AlexNet's authors did.

    Works on a tensor (3, height, width) from 0 to 1; the result may leave that range a little.

    Args:
        probability: of the change.
    """

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def draw(self, height: int, width: int) -> TensorTransform | None:
        """Draws how far the pixels are moved along each axis."""
        del height, width
        if not _happens(self.probability):
            return None
        weights = torch.randn(3) * COLOUR_DEVIATION
        shift = torch.tensor(COLOUR_EIGENVECTORS) @ (weights * torch.tensor(COLOUR_EIGENVALUES))  # (3,)
        return partial(_add_colour, shift=shift[:, None, None])


def _add_colour(picture: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    return picture + shift.to(picture.device, non_blocking=True)


class GreyPictures(Change):
    """Takes the colours out of a whole picture, a tensor (3, height, width).

    Args:
        probability: of the change.
    """

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def draw(self, height: int, width: int) -> TensorTransform | None:
        """Draws whether it happens."""
        del height, width
        return _as_grey if _happens(self.probability) else None


class RandomBlur:
    """Blurs a picture by a Gaussian, as Pillow does.

    Args:
        probability: of the change.
        sigmas: least and most deviation in pixels, drawn evenly.
    """

    def __init__(self, probability: float, sigmas: tuple[float, float]) -> None:
        self.probability = probability
        self.sigmas = sigmas

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Gives the blurred picture, or the picture itself."""
        if not _happens(self.probability):
            return picture
        return picture.filter(ImageFilter.GaussianBlur(_uniform(*self.sigmas)))


class _RandomRectangle(Change):
    """Changes a rectangle of a tensor (3, height, width) with some probability.

    Args:
        probability: of the change.
        areas: least and most share of the picture.
        ratios: least and most height to width.
    """

    def __init__(self, probability: float, areas: tuple[float, float], ratios: tuple[float, float]) -> None:
        self.probability = probability
        self.areas = areas
        self.ratios = ratios

    def draw(self, height: int, width: int) -> TensorTransform | None:
        """Draws the rectangle."""
        place = _draw_rectangle(height, width, self.areas, self.ratios) if _happens(self.probability) else None
        return None if place is None else partial(self._fill_place, place=place)

    def _fill_place(self, picture: torch.Tensor, place: tuple[slice, slice, slice]) -> torch.Tensor:
        changed = picture.clone()
        changed[place] = self._fill(picture[place])
        return changed

    @abstractmethod
    def _fill(self, part: torch.Tensor) -> torch.Tensor:
        """What a rectangle of the picture becomes."""


class GreyPatch(_RandomRectangle):
    """Takes the colours out of a rectangle: each of its pixels gets its grey level (arXiv 2101.08533).

    Works on a tensor (3, height, width) from 0 to 1. The rectangle is drawn as in `RandomErasing`, the grey level is
    .2989 red + .587 green + .114 blue.

    Args:
        probability: of the change.
        areas: least and most share of the picture.
        ratios: least and most height to width.
    """

    def _fill(self, part: torch.Tensor) -> torch.Tensor:
        return _as_grey(part)


class RandomErasing(_RandomRectangle):
    """Makes a rectangle grey (arXiv 1708.04896).

    Works on a normalised tensor (3, height, width), in which 0 is the mean. Area and ratio of height to width are drawn
    uniformly and drawn again while the rectangle is not lower and narrower than the picture, as in the paper's code.

    Args:
        probability: of the change.
        areas: least and most share of the picture.
        ratios: least and most height to width.
    """

    def _fill(self, part: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(part)


def _as_grey(part: torch.Tensor) -> torch.Tensor:
    grey: torch.Tensor = v2.functional.rgb_to_grayscale(part, num_output_channels=3)
    return grey


def _draw_rectangle(
    height: int, width: int, areas: tuple[float, float], ratios: tuple[float, float]
) -> tuple[slice, slice, slice] | None:
    """A rectangle of a tensor (3, height, width), with all three colours; None if again and again none fits."""
    for _ in range(_ATTEMPTS):
        area = _uniform(*areas) * height * width
        ratio = _uniform(*ratios)
        rows, columns = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < rows < height and 0 < columns < width:
            top = int(torch.randint(height - rows + 1, ()))
            left = int(torch.randint(width - columns + 1, ()))
            return slice(None), slice(top, top + rows), slice(left, left + columns)
    return None


def _happens(probability: float) -> bool:
    return torch.rand(()).item() < float(np.float32(probability))  # in the precision in which torch compares


def _uniform(lowest: float, highest: float) -> float:
    return lowest + (highest - lowest) * float(torch.rand(()))
