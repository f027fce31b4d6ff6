"""What happens to a picture before the model sees it; every random number comes from torch's global generator."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

import torch
from PIL import Image, ImageFilter
from torchvision.transforms import v2

from samecar.config import AugmentationSettings
from samecar.config.augmentation import MAGNITUDES
from samecar.preprocessing import Preprocessing, Reading, resize_picture

PictureTransform = Callable[[Image.Image], torch.Tensor]
"""An RGB picture to a tensor: float32 (3, height, width), normalised unless it says otherwise."""

TensorTransform = Callable[[torch.Tensor], torch.Tensor]
"""A tensor to a tensor of the same shape."""

Step = Callable[..., object]
"""A part of a transformation, of a picture or a tensor."""

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


def training_transform(preprocessing: Preprocessing, augmentation: AugmentationSettings) -> PictureTransform:
    """The random changes of `augmentation`, in the order of its options, around resizing and normalising.

    A change that is off draws no random number.

    Args:
        preprocessing: what the model takes.
        augmentation: what is done and how probably.
    """
    steps = [
        *_changes_of_shape(preprocessing, augmentation),
        *_changes_of_pixels(augmentation),
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        *_changes_of_colour(augmentation),
        _normalize(preprocessing),
    ]
    if augmentation.erasing:
        steps.append(RandomErasing(augmentation.erasing, augmentation.erasing_area, augmentation.erasing_ratio))
    return _Steps(steps)


def _changes_of_shape(preprocessing: Preprocessing, augmentation: AugmentationSettings) -> list[Step]:
    """From a picture of any size to one of the model's."""
    height, width = preprocessing.height, preprocessing.width
    steps: list[Step] = []
    if augmentation.centre_crop < 1:
        steps.append(CentreCrop(augmentation.centre_crop))
    steps.append(RandomTranslation(height, width, augmentation.translation, preprocessing.reading))
    if augmentation.pad:
        steps.append(v2.RandomCrop((height, width), padding=augmentation.pad))
    if augmentation.flip:
        steps.append(v2.RandomHorizontalFlip(augmentation.flip))
    return steps


def _changes_of_pixels(augmentation: AugmentationSettings) -> list[Step]:
    """What takes a picture, not a tensor, and leaves its size."""
    steps: list[Step] = []
    if augmentation.policy != "none":
        steps.append(v2.RandomApply([_policy(augmentation)], augmentation.policy_probability))
    if augmentation.blur:
        steps.append(RandomBlur(augmentation.blur, augmentation.blur_sigma))
    return steps


def _changes_of_colour(augmentation: AugmentationSettings) -> list[Step]:
    """What takes a tensor (3, height, width) from 0 to 1."""
    steps: list[Step] = []
    if augmentation.jitter:
        strengths = {name: getattr(augmentation, f"jitter_{name}") for name in JITTERED}
        steps.append(v2.ColorJitter(**strengths))
    if augmentation.pca_colour:
        steps.append(PCAColour(augmentation.pca_colour))
    if augmentation.grey_pictures:
        steps.append(v2.RandomGrayscale(augmentation.grey_pictures))
    if augmentation.grey_patches:
        areas, ratios = augmentation.grey_patches_area, augmentation.grey_patches_ratio
        steps.append(GreyPatch(augmentation.grey_patches, areas, ratios))
    return steps


def _policy(augmentation: AugmentationSettings) -> v2.Transform:
    """One of torchvision's policies; what it turns or moves is bilinear, and black comes in from outside."""
    smooth = v2.InterpolationMode.BILINEAR
    if augmentation.policy == "autoaugment":
        return v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET, interpolation=smooth)
    if augmentation.policy == "randaugment":
        operations, magnitude = augmentation.randaugment_operations, augmentation.randaugment_magnitude
        return v2.RandAugment(operations, magnitude, num_magnitude_bins=MAGNITUDES, interpolation=smooth)
    return v2.TrivialAugmentWide(interpolation=smooth)


def evaluation_transform(preprocessing: Preprocessing) -> PictureTransform:
    """Resizing and normalise_transform, as a model takes pictures; nothing random."""
    return _Steps([resize_transform(preprocessing), normalise_transform(preprocessing)])


def resize_transform(preprocessing: Preprocessing) -> PictureTransform:
    """The part of evaluation that needs the picture itself; gives uint8 (3, height, width)."""
    return _Steps([Resize(preprocessing.height, preprocessing.width, preprocessing.reading), v2.PILToTensor()])


def normalise_transform(preprocessing: Preprocessing) -> TensorTransform:
    """The rest of evaluation: takes uint8 (..., 3, height, width), also of many pictures, and gives float32."""
    return _Steps([v2.ToDtype(torch.float32, scale=True), _normalize(preprocessing)])


def _normalize(preprocessing: Preprocessing) -> v2.Normalize:
    return v2.Normalize(list(preprocessing.mean), list(preprocessing.deviation))


class _Steps:
    """One step after the other, on a picture or a tensor."""

    def __init__(self, steps: Sequence[Step]) -> None:
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
    """Resizes a picture as `resize_picture` does.

    Args:
        height: of the result, in pixels.
        width: of the result, in pixels.
        reading: exact or quick.
    """

    def __init__(self, height: int, width: int, reading: Reading = "exact") -> None:
        self.height = height
        self.width = width
        self.reading = reading

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Resizes a picture."""
        return resize_picture(picture, self.height, self.width, self.reading)


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


class _RandomRectangle(ABC):
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

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        """Gives the changed picture, or the picture itself."""
        place = _draw_rectangle(picture, self.areas, self.ratios) if _happens(self.probability) else None
        if place is None:
            return picture
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
        grey: torch.Tensor = v2.functional.rgb_to_grayscale(part, num_output_channels=3)
        return grey


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


def _draw_rectangle(
    picture: torch.Tensor, areas: tuple[float, float], ratios: tuple[float, float]
) -> tuple[slice, slice, slice] | None:
    """A rectangle of a tensor (3, height, width), with all three colours; None if again and again none fits."""
    _, height, width = picture.shape
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
    return bool(torch.rand(()) < probability)


def _uniform(lowest: float, highest: float) -> float:
    return lowest + (highest - lowest) * float(torch.rand(()))
