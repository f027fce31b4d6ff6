"""What happens to a picture before the model sees it; every random number comes from torch, see `chance`.

Changes of a picture come first, one picture at a time. What follows takes numbers, of which only the drawing is done a
picture at a time: a whole batch is turned into numbers, changed and normalised where the model is.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from samecar.config import AugmentationSettings
from samecar.config.augmentation import MAGNITUDES
from samecar.data.changes import (
    JITTERED,
    CentreCrop,
    Change,
    ColourJitter,
    Colours,
    GreyPatch,
    GreyPictures,
    OfPictures,
    PCAColour,
    RandomBlur,
    RandomErasing,
    RandomFlip,
    RandomTranslation,
    Resize,
    Resized,
    TensorTransform,
)
from samecar.preprocessing import Pixels, Preprocessing

Step = Callable[[Colours], Colours]
"""A change of a picture, which leaves its size."""

BRIGHTEST: Final = 255
"""Value of a pixel."""

Drawn = tuple[TensorTransform | None, ...]
"""What becomes of a picture's numbers, one for each change that there may be; None where it does not happen."""


class Prepared(NamedTuple):
    """A picture after its own changes, and what is still to be done to its numbers.

    Attributes:
        pixels: (3, height, width) uint8; colours of a pixel lie side by side in memory.
        colours: changes of values from 0 to 1.
        normalised: changes of normalised values.
    """

    pixels: Pixels
    colours: Drawn = ()
    normalised: Drawn = ()


class PictureTransform:
    """An RGB picture to what a model takes: float32 (3, height, width), normalised.

    `prepare` does and draws what is done a picture at a time, `finish` does the rest for a whole batch. Calling it does
    both for one picture.

    Args:
        preprocessing: what the model takes.
        resizing: from a picture of any size to one of the model's.
        crop: comes before.
        steps: further changes of the picture, which leave its size.
        colours: changes of values from 0 to 1.
        normalised: changes of normalised values.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        resizing: Resize | RandomTranslation,
        crop: CentreCrop | None = None,
        steps: Sequence[Step] = (),
        *,
        colours: Sequence[Change] = (),
        normalised: Sequence[Change] = (),
    ) -> None:
        self.preprocessing = preprocessing
        self._resizing = resizing
        self._crop = crop
        self._steps = steps
        self._colours = colours
        self._normalised = normalised

    @property
    def sizes(self) -> tuple[Resize, ...]:
        """All sizes that a picture may be resized to, whatever is drawn."""
        return self._resizing.sizes

    @property
    def before_chance(self) -> str:
        """Names all that decides how a picture looks in its sizes."""
        return f"{self.preprocessing.decoded_size} {self._crop and self._crop.share} {self.sizes}"

    def __call__(self, picture: Image.Image) -> torch.Tensor:
        """Transforms one picture."""
        prepared = self.prepare(picture)
        return self.finish(torch.from_numpy(prepared.pixels)[None].contiguous(), [prepared])[0]

    def resize(self, picture: Image.Image) -> list[Image.Image]:
        """A picture in all its sizes; nothing is drawn."""
        whole = self._whole(picture)
        return [size(whole) for size in self.sizes]

    def prepare(self, picture: Image.Image) -> Prepared:
        """Changes a picture, and draws what is to become of its numbers."""
        whole = self._whole(picture)
        return self._prepare(lambda size: np.asarray(size(whole)))

    def prepare_resized(self, resized: Sequence[Colours]) -> Prepared:
        """Does what `prepare` does with what `resize` gave."""
        return self._prepare(lambda size: resized[self.sizes.index(size)])

    def _whole(self, picture: Image.Image) -> Image.Image:
        return picture if self._crop is None else self._crop(picture)

    def _prepare(self, resized: Resized) -> Prepared:
        picture = self._resizing.take(resized)
        for step in self._steps:
            picture = step(picture)
        height, width, _ = picture.shape
        colours, normalised = (
            tuple(change.draw(height, width) for change in changes) for changes in (self._colours, self._normalised)
        )
        copied = np.array(picture, order="C")  # here, by who reads, and not where the batch is awaited
        return Prepared(copied.transpose(2, 0, 1), colours, normalised)

    def finish(self, pixels: torch.Tensor, prepared: Sequence[Prepared]) -> torch.Tensor:
        """Turns pictures into numbers, makes the changes that were drawn, and normalises, where the pictures are.

        On a processor this goes a picture at a time, which then stays in its cache.

        Args:
            pixels: (batch, 3, height, width) uint8, in any layout, which the result has too.
            prepared: what was drawn for each.
        """
        finished = torch.empty_like(pixels, dtype=torch.float32)
        at_a_time = 1 if pixels.device.type == "cpu" else max(1, len(pixels))
        for start in range(0, len(pixels), at_a_time):
            rows = slice(start, start + at_a_time)
            part = finished[rows].copy_(pixels[rows]).mul_(1 / BRIGHTEST)
            _change(part, [one.colours for one in prepared[rows]])
            _normalise(part, self.preprocessing)
            _change(part, [one.normalised for one in prepared[rows]])
        return finished


def _normalise(pictures: torch.Tensor, preprocessing: Preprocessing) -> None:
    """Does in place what torchvision does, in whole rows of memory, whatever lies in them."""
    mean, deviation = (
        torch.tensor(values, device=pictures.device) for values in (preprocessing.mean, preprocessing.deviation)
    )
    if pictures.is_contiguous():
        pictures.sub_(mean[:, None, None]).div_(deviation[:, None, None])
    else:
        height, width = pictures.shape[2:]
        rows = pictures.permute(0, 2, 3, 1).view(len(pictures), height, 3 * width)
        rows.sub_(mean.repeat(width)).div_(deviation.repeat(width))


def _change(pictures: torch.Tensor, drawn: Sequence[Drawn]) -> None:
    for picture, changes in zip(pictures, drawn, strict=True):
        for change in changes:
            if change is not None:
                picture.copy_(change(picture))


def training_transform(preprocessing: Preprocessing, augmentation: AugmentationSettings) -> PictureTransform:
    """The random changes of `augmentation`, in the order of its options, around resizing and normalising.

    A change that is off draws no random number.

    Args:
        preprocessing: what the model takes.
        augmentation: what is done and how probably.
    """
    height, width = preprocessing.height, preprocessing.width
    erasing: list[Change] = []
    if augmentation.erasing:
        erasing.append(RandomErasing(augmentation.erasing, augmentation.erasing_area, augmentation.erasing_ratio))
    return PictureTransform(
        preprocessing,
        RandomTranslation(height, width, augmentation.translation, preprocessing.reading),
        CentreCrop(augmentation.centre_crop) if augmentation.centre_crop < 1 else None,
        _changes_of_pixels(preprocessing, augmentation),
        colours=_changes_of_colour(augmentation),
        normalised=erasing,
    )


def _changes_of_pixels(preprocessing: Preprocessing, augmentation: AugmentationSettings) -> list[Step]:
    """What takes a picture, not numbers, and leaves its size."""
    steps: list[Step] = []
    if augmentation.pad:
        steps.append(OfPictures([v2.RandomCrop((preprocessing.height, preprocessing.width), padding=augmentation.pad)]))
    if augmentation.flip:
        steps.append(RandomFlip(augmentation.flip))
    last: list[Callable[[Image.Image], Image.Image]] = []
    if augmentation.policy != "none":
        last.append(v2.RandomApply([_policy(augmentation)], augmentation.policy_probability))
    if augmentation.blur:
        last.append(RandomBlur(augmentation.blur, augmentation.blur_sigma))
    return [*steps, *([OfPictures(last)] if last else [])]


def _changes_of_colour(augmentation: AugmentationSettings) -> list[Change]:
    """What takes a tensor (3, height, width) from 0 to 1."""
    changes: list[Change] = []
    if augmentation.jitter:
        changes.append(ColourJitter({name: getattr(augmentation, f"jitter_{name}") for name in JITTERED}))
    if augmentation.pca_colour:
        changes.append(PCAColour(augmentation.pca_colour))
    if augmentation.grey_pictures:
        changes.append(GreyPictures(augmentation.grey_pictures))
    if augmentation.grey_patches:
        areas, ratios = augmentation.grey_patches_area, augmentation.grey_patches_ratio
        changes.append(GreyPatch(augmentation.grey_patches, areas, ratios))
    return changes


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
    """Resizing and normalising, as a model takes pictures; nothing random."""
    return PictureTransform(preprocessing, Resize(preprocessing.height, preprocessing.width, preprocessing.reading))


def normalise_transform(preprocessing: Preprocessing) -> TensorTransform:
    """What is left of evaluation in a model's size: takes uint8 (..., 3, height, width), and gives float32."""
    normalised = v2.Normalize(list(preprocessing.mean), list(preprocessing.deviation))
    normalise: TensorTransform = v2.Compose([v2.ToDtype(torch.float32, scale=True), normalised])
    return normalise
