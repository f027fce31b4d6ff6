"""What a network costs: its parameters, and the multiply-adds of one picture."""

from functools import cache
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from samecar.config import ModelSettings
from samecar.models.embedder import Embedder, build_embedder


class Costs(NamedTuple):
    """Of the network that embeds: with its head, without the classifier, which only training needs.

    Attributes:
        parameters: how many it has.
        multiply_adds: of its convolutions and linear layers, for one picture of the model's size.
    """

    parameters: int
    multiply_adds: int


def network_costs(settings: ModelSettings) -> Costs:
    """Counts parameters and multiply-adds of a network; nothing is computed and no weights are read."""
    return _count(settings.model_copy(update={"weights": "none"}))


@cache
def convolves_by_channel(settings: ModelSettings) -> bool:
    """Whether a network has convolutions that look at each channel by itself, as MobileNets have."""
    layers = (layer for layer in _without_numbers(settings).modules() if isinstance(layer, torch.nn.Conv2d))
    return any(1 < layer.in_channels == layer.groups for layer in layers)


@cache
def _count(settings: ModelSettings) -> Costs:
    model = _without_numbers(settings)
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, settings.height, settings.width))
    operations = counter.get_total_flops()  # a multiplication and an addition are two
    return Costs(sum(parameter.numel() for parameter in model.parameters()), operations // 2)


def _without_numbers(settings: ModelSettings) -> Embedder:
    """The network's layers, whose weights have sizes and no values."""
    with torch.device("meta"):
        return build_embedder(settings.model_copy(update={"weights": "none"}), 0, load_weights=False).eval()
