"""Random changes to training pictures, each alone on one picture: the report's, or all that there are."""

import math
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from samecar.config import AugmentationSettings
from samecar.data import training_transform
from samecar.data.chance import DrawFrom
from samecar.preprocessing import Preprocessing
from samecar.report.figures.style import (
    SMALL,
    WIDTH,
    add_caption,
    break_lines,
    drawing,
    line_height,
    text_size,
)

AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "Original": {},
    "Random erasing": {"erasing": 1.0},
    "Random 2-D translation": {"translation": 1.0},
    "Colour augmentation": {"pca_colour": 1.0},
    "Centre crop": {"centre_crop": 0.893},
    "Colour jitter": {"jitter": True},
}
"""The report's, each with probability 1, everything else off."""

ALL_AUGMENTATIONS: dict[str, dict[str, Any]] = {
    **AUGMENTATIONS,
    "Flip": {"flip": 1.0},
    "Pad and crop": {"pad": 10},
    "AutoAugment": {"policy": "autoaugment"},
    "RandAugment": {"policy": "randaugment"},
    "TrivialAugment": {"policy": "trivialaugment"},
    "Blur": {"blur": 1.0},
    "Grey picture": {"grey_pictures": 1.0},
    "Grey patch": {"grey_patches": 1.0},
}
"""The report's and the others, likewise."""

DRAWS = 16

COLUMNS = {"report": 3, "all": 4}

GREY = (0.5, 0.5, 0.5)
UNIT = (1.0, 1.0, 1.0)


def augmentations_figure(
    picture: Image.Image,
    *,
    kinds: Literal["report", "all"] = "report",
    picture_height: int = 224,
    picture_width: int = 224,
    seed: int = 1,
    title: str = "",
    width: float | None = None,
) -> Figure:
    """Draws a picture as training sees it under each kind of augmentation.

    Some of them can change next to nothing; of several random draws that is shown which changes the picture most.

    Args:
        picture: RGB.
        kinds: of augmentation that are shown: the report's, or all.
        picture_height: of the pictures in pixels, as training would see them.
        picture_width: of the pictures in pixels, likewise.
        seed: of what happens at random.
        title: of the figure; an empty one is none.
        width: of the figure in inches; by default 7.5.

    Raises:
        SamecarError: the width is out of range.
    """
    width = WIDTH if width is None else width
    size = picture_height, picture_width
    shown, columns = {"report": AUGMENTATIONS, "all": ALL_AUGMENTATIONS}[kinds], COLUMNS[kinds]
    rows = math.ceil(len(shown) / columns)
    cell = width / columns
    names = [break_lines(name, 0.9 * cell, text_size(width, SMALL)) for name in shown]
    lines = 1 + max(name.count("\n") for name in names)
    row_height = cell * picture_height / picture_width + (lines + 0.5) * line_height(width, SMALL)
    with drawing(width, rows * row_height, title) as figure:
        add_caption(
            figure, f"Each alone, with probability 1; of {DRAWS} random draws the one that changes the picture most."
        )
        for place, (name, options) in enumerate(zip(names, shown.values(), strict=True), start=1):
            axes = figure.add_subplot(rows, columns, place)
            axes.imshow(_strongest(picture, options, size, seed).permute(1, 2, 0).numpy())
            axes.set_title(name, size=SMALL)
            axes.set_axis_off()
    return figure


def augment_picture(picture: Image.Image, options: dict[str, Any], size: tuple[int, int], seed: int) -> Tensor:
    """A picture under some augmentations, (3, height, width) from 0 to 1; erased parts are grey."""
    nothing = {"translation": 0.0, "flip": 0.0}
    settings = AugmentationSettings.model_validate(nothing | options)
    transform = training_transform(Preprocessing(*size, GREY, UNIT), settings)
    with DrawFrom(seed):
        return (transform(picture) + torch.tensor(GREY)[:, None, None]).clamp(0, 1)


def _strongest(picture: Image.Image, options: dict[str, Any], size: tuple[int, int], seed: int) -> Tensor:
    original = augment_picture(picture, {}, size, seed)
    draws = [augment_picture(picture, options, size, seed + draw) for draw in range(DRAWS)]
    return max(draws, key=lambda draw: float((draw - original).abs().mean()))
