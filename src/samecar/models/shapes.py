"""Running a network for the shapes of its maps alone, which costs next to nothing."""

import copy
from typing import Any

import torch
from torch import Tensor

REFUSALS = (RuntimeError, AssertionError, ValueError, TypeError, IndexError, ZeroDivisionError)
"""What timm's models raise for picture sizes that they cannot take."""


def shape_model(model: Any, height: int, width: int) -> tuple[Any, Tensor]:
    """A copy of a model and a picture without numbers: running one on the other costs nothing and gives shapes."""
    return copy.deepcopy(model).to("meta").eval(), torch.zeros(1, 3, height, width, device="meta")
