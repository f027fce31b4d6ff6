"""Batches of features, and the little that losses want to know of a network, for tests of losses."""

from typing import NamedTuple

import torch
from torch import Tensor

from samecar.config import ModelSettings


class Part(NamedTuple):
    before: Tensor
    after: Tensor
    logits: Tensor | None = None


class Place(NamedTuple):
    branch: int
    stripe: int
    width: int


class Network(NamedTuple):
    settings: ModelSettings = ModelSettings()
    vehicles: int = 4
    parts: tuple[Place, ...] = (Place(1, 0, 8),)


class Outputs(NamedTuple):
    parts: tuple[Part, ...]


def part(features: Tensor, logits: Tensor | None = None) -> Part:
    """A part without a neck."""
    return Part(features, features, logits)


def outputs(features: Tensor, logits: Tensor | None = None) -> Outputs:
    """Those of a network of one part without a neck."""
    return Outputs((part(features, logits),))


def batch(vehicles: int, pictures: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random features and their labels, in a random order."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(vehicles).repeat_interleave(pictures)
    order = torch.randperm(len(labels), generator=generator)
    return torch.randn(len(labels), width, generator=generator), labels[order]
