"""What every loss is: a module of one part of a network, made from its group of options."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from samecar.config.loss import Feature


class Part(Protocol):
    """What a network says of a batch at one part: the whole last map of a branch, or a stripe of it."""

    @property
    def before(self) -> Tensor:
        """Features before the neck, (batch, width)."""

    @property
    def after(self) -> Tensor:
        """Features after the neck, (batch, width); without a neck those before it."""

    @property
    def logits(self) -> Tensor | None:
        """Scores of the train vehicles, (batch, vehicles); None without a classifier."""


class Loss(nn.Module, ABC):
    """A loss of one part of a network; `LOSSES` finds its class by its name.

    Attributes:
        name: that of its group of options, and of its curve.
        reads_stripes: whether it reads the stripes of a branch too; one that compares pictures reads the whole alone.
        needs_two_vehicles: whether a batch must show two vehicles.
        needs_pairs: whether a batch must show a vehicle twice.

    Args:
        settings: its group of options.
        width: of the features.
        vehicles: how many there are to learn.
    """

    name: ClassVar[str]
    reads_stripes: ClassVar[bool] = False
    needs_two_vehicles: ClassVar[bool] = False
    needs_pairs: ClassVar[bool] = False

    def __init__(self, settings: Any, width: int, vehicles: int) -> None:
        super().__init__()
        self.settings = settings
        self.width = width
        self.vehicles = vehicles

    @abstractmethod
    def forward(self, part: Part, labels: Tensor, cameras: Tensor | None) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            part: what the network says of the batch.
            labels: number of each picture's vehicle from 0, (batch,), integers.
            cameras: number of each picture's camera, (batch,), integers, -1 where it is not known; None if nobody says.
        """

    def refuse_lacking(self, labels: Tensor) -> None:
        """Checks, where that waits for no GPU, that what is left of a batch is enough; `labels` are (batch,).

        Raises:
            SamecarError: it is not.
        """

    def scores(self, part: Part) -> Tensor | None:  # noqa: ARG002
        """Scores of the train vehicles, (batch, vehicles), from a loss that classifies; None from others."""
        return None


def read_feature(part: Part, feature: Feature) -> Tensor:
    """The features that a loss reads, (batch, width), in float32, or in float64 if they are."""
    return at_least_float32(part.before if feature == "before" else part.after)


def at_least_float32(tensor: Tensor) -> Tensor:
    """A tensor in float32, or in float64 if it is."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def unit_length(features: Tensor) -> Tensor:
    """Features brought to length one, (batch, width); one that is 0 stays 0, and its gradient is 0."""
    lengths = features.norm(dim=1, keepdim=True)  # (batch, 1)
    nonzero = lengths > 0
    units: Tensor = features / torch.where(nonzero, lengths, 1) * nonzero
    return units
