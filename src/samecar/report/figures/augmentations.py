"""The report's augmentations, each alone on one picture."""

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from samecar.config import AugmentationSettings
from samecar.data import training_transform
from samecar.preprocessing import Preprocessing
from samecar.report.figures.style import MUTED, new_figure, style

AUGMENTATIONS: dict[str, dict[str, float]] = {
    "Original": {},
    "Random erasing": {"erasing": 1.0},
    "Random 2-D translation": {"translation": 1.0},
    "Colour augmentation": {"pca_colour": 1.0},
    "Centre crop": {"centre_crop": 0.893},
    "Colour jitter": {"jitter": True},
}
"""Each with probability 1, everything else off."""

DRAWS = 16

GREY = (0.5, 0.5, 0.5)
UNIT = (1.0, 1.0, 1.0)


def augmentations_figure(picture: Image.Image, *, size: tuple[int, int] = (224, 224), seed: int = 1) -> Figure:
    """Draws a picture as training sees it under each of the report's augmentations.

    Some of them can change next to nothing; of several random draws that is shown which changes the picture most.

    Args:
        picture: RGB.
        size: height and width in pixels.
        seed: of what happens at random.
    """
    with style():
        figure = new_figure(7.5, 0.65 + 2 * (2.4 * size[0] / size[1] + 0.25))
        caption = f"Each alone, with probability 1; of {DRAWS} random draws the one that changes the picture most."
        figure.supxlabel(caption, x=0.01, ha="left", size=8, color=MUTED)
        for place, (name, options) in enumerate(AUGMENTATIONS.items(), start=1):
            axes = figure.add_subplot(2, 3, place)
            axes.imshow(_strongest(picture, options, size, seed).permute(1, 2, 0).numpy())
            axes.set_title(name)
            axes.set_axis_off()
    return figure


def augment_picture(picture: Image.Image, options: dict[str, float], size: tuple[int, int], seed: int) -> Tensor:
    """A picture under some augmentations, (3, height, width) from 0 to 1; erased parts are grey."""
    nothing = {"translation": 0.0, "flip": 0.0}
    settings = AugmentationSettings.model_validate(nothing | options)
    transform = training_transform(Preprocessing(*size, GREY, UNIT), settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return (transform(picture) + torch.tensor(GREY)[:, None, None]).clamp(0, 1)


def _strongest(picture: Image.Image, options: dict[str, float], size: tuple[int, int], seed: int) -> Tensor:
    original = augment_picture(picture, {}, size, seed)
    draws = [augment_picture(picture, options, size, seed + draw) for draw in range(DRAWS)]
    return max(draws, key=lambda draw: float((draw - original).abs().mean()))
