"""What happens to a picture before the model sees it; every random number comes from torch's global generator."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import torch
from PIL import Image
from torchvision.transforms import v2

from samecar.config import AugmentationSettings
from samecar.preprocessing import Preprocessing

PictureTransform = Callable[[Image.Image], torch.Tensor]
"""An RGB picture to a tensor: float32 (3, height, width), normalised unless it says otherwise."""

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

_ERASING_ATTEMPTS: Final = 100


def training_transform(preprocessing: Preprocessing, augmentation: AugmentationSettings) -> PictureTransform:
    """The random changes of `augmentation`, in the order of its options, around resizing and normalising.

    Args:
        preprocessing: what the model takes.
        augmentation: what is done and how probably.
    """
    steps: list[Callable[..., object]] = []
    if augmentation.centre_crop < 1:
        steps.append(CentreCrop(augmentation.centre_crop))
    steps.append(RandomTranslation(preprocessing.height, preprocessing.width, augmentation.translation))
    if augmentation.flip:
        steps.append(v2.RandomHorizontalFlip(augmentation.flip))
    steps += [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    if augmentation.jitter:
        strengths = {name: getattr(augmentation, f"jitter_{name}") for name in JITTERED}
        steps.append(v2.ColorJitter(**strengths))
    if augmentation.pca_colour:
        steps.append(PCAColour(augmentation.pca_colour))
    steps.append(_normalize(preprocessing))
    if augmentation.erasing:
        steps.append(RandomErasing(augmentation.erasing, augmentation.erasing_area, augmentation.erasing_ratio))
    return _Steps(steps)


def evaluation_transform(preprocessing: Preprocessing) -> PictureTransform:
    """Resizing and normalise_transform, as a model takes pictures; nothing random."""
    return _Steps([resize_transform(preprocessing), normalise_transform(preprocessing)])


def resize_transform(preprocessing: Preprocessing) -> PictureTransform:
    """The part of evaluation that needs the picture itself; gives uint8 (3, height, width)."""
    return _Steps([Resize(preprocessing.height, preprocessing.width), v2.PILToTensor()])


def normalise_transform(preprocessing: Preprocessing) -> TensorTransform:
    """The rest of evaluation: takes uint8 (..., 3, height, width), also of many pictures, and gives float32."""
    return _Steps([v2.ToDtype(torch.float32, scale=True), _normalize(preprocessing)])


def _normalize(preprocessing: Preprocessing) -> v2.Normalize:
    return v2.Normalize(list(preprocessing.mean), list(preprocessing.deviation))


class _Steps:
    """One step after the other, on a picture or a tensor."""

    def __init__(self, steps: Sequence[Callable[..., object]]) -> None:
        self.steps = v2.Compose(list(steps))

    def __call__(self, picture: Image.Image | torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.steps(picture)
        return result


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


class Resize:
    """Resizes a picture, the same way in training and evaluation: bilinear over all pixels that fall into one.

    Args:
        height: of the result, in pixels.
        width: of the result, in pixels.
    """

    def __init__(self, height: int, width: int) -> None:
        self.size = (width, height)

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Resizes a picture."""
        return picture.resize(self.size, Image.Resampling.BILINEAR)


class RandomTranslation:
    """Resizes a picture; with some probability to 1.125 of each side, of which it cuts out the size at random.

    Args:
        height: of the result, in pixels.
        width: of the result, in pixels.
        probability: of the cut; otherwise the picture is just resized.
    """

    def __init__(self, height: int, width: int, probability: float) -> None:
        self.height = height
        self.width = width
        self.probability = probability
        self._resize = Resize(height, width)
        self._enlarge = Resize(round(height * TRANSLATION_SCALE), round(width * TRANSLATION_SCALE))

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Resizes an RGB picture, perhaps a part of it."""
        if not _happens(self.probability):
            return self._resize(picture)
        larger = self._enlarge(picture)
        left = int(torch.randint(larger.width - self.width + 1, ()))
        top = int(torch.randint(larger.height - self.height + 1, ()))
        return larger.crop((left, top, left + self.width, top + self.height))


class PCAColour:
    """Moves all pixels along the principal axes of ImageNet's colours, as AlexNet's authors did.

    Works on a tensor (3, height, width) from 0 to 1; the result may leave that range a little.

    Args:
        probability: of the change.
    """

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        """Gives the changed picture, or the picture itself."""
        if not _happens(self.probability):
            return picture
        weights = torch.randn(3) * COLOUR_DEVIATION
        shift = torch.tensor(COLOUR_EIGENVECTORS) @ (weights * torch.tensor(COLOUR_EIGENVALUES))  # (3,)
        return picture + shift[:, None, None]


class RandomErasing:
    """Makes a rectangle grey (arXiv 1708.04896).

    Works on a normalised tensor (3, height, width), in which 0 is the mean. Area and ratio of height to width are drawn
    uniformly and drawn again while the rectangle does not fit.

    Args:
        probability: of the change.
        areas: least and most share of the picture.
        ratios: least and most height to width.
    """

    def __init__(self, probability: float, areas: tuple[float, float], ratios: tuple[float, float]) -> None:
        self.probability = probability
        self.areas = areas
        self.ratios = ratios

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        """Gives the changed picture, or the picture itself."""
        if not _happens(self.probability):
            return picture
        _, height, width = picture.shape
        for _ in range(_ERASING_ATTEMPTS):
            area = _uniform(*self.areas) * height * width
            ratio = _uniform(*self.ratios)
            rows, columns = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < rows <= height and 0 < columns <= width:
                top = int(torch.randint(height - rows + 1, ()))
                left = int(torch.randint(width - columns + 1, ()))
                erased = picture.clone()
                erased[:, top : top + rows, left : left + columns] = 0
                return erased
        return picture


def _happens(probability: float) -> bool:
    return bool(torch.rand(()) < probability)


def _uniform(lowest: float, highest: float) -> float:
    return lowest + (highest - lowest) * float(torch.rand(()))
