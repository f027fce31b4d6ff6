"""Fusions that learn more than a projection of each stage: a gated sum, and a pyramid from the last stage upwards.

Both leave the last map as it is, with all that its weights have learned, and give a map of its height and width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from samecar.models.layers.blocks import Initialisation, channel_perceptron, initialise

PYRAMID_CHANNELS = 256
"""Of a level of the pyramid, as in the paper; no more than the last map has."""

GATE_REDUCTION = 16
"""Channels are divided by this inside a gate, as in squeeze and excitation."""


class GatedSum(nn.Module):
    """Adds every earlier stage to the last map, each as far as a gate lets it through.

    An earlier map goes down a chain of 3 × 3 convolutions of stride 2 (one of stride 1 where it is as large as the last
    one), which double the channels up to the last one's; batch normalisation comes after each, and ReLU between them.
    Of what comes out, x, the sum takes x · sigmoid(W2 relu(W1 average(x))): a weight for each channel, as in squeeze
    and excitation (Hu et al., arXiv 1709.01507). The scale of a chain's last normalisation begins at 0, so that the
    network begins as the one without fusion (as in Goyal et al., arXiv 1706.02677, section 5.1).

    Args:
        stages: channels of each earlier stage, and how many times as high and wide as the last map its map is.
        channels: of the last map.
        initialisation: how new convolutions and linear layers begin.

    Attributes:
        channels: of the sum.
    """

    def __init__(
        self, stages: Sequence[tuple[int, int]], channels: int, initialisation: Initialisation = "kaiming"
    ) -> None:
        super().__init__()
        self.channels = channels
        self.chains = nn.ModuleList(_chain(width, channels, stride, initialisation) for width, stride in stages)
        self.gates = nn.ModuleList(channel_perceptron(channels, GATE_REDUCTION, initialisation) for _ in stages)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Joins one map (batch, channels, height, width) of each stage to one like the last."""
        *earlier, last = maps
        total = last
        for stage, chain, gate in zip(earlier, self.chains, self.gates, strict=True):
            brought: Tensor = chain(stage)
            weights = torch.sigmoid(gate(brought.mean(dim=(2, 3))))
            total = total + brought * weights[:, :, None, None]
        return total


class Pyramid(nn.Module):
    """A feature pyramid (Lin et al., arXiv 1612.03144, section 3) beside the last map.

    From the last map upwards, level = lateral(map) + the level above, its nearest values repeated to the map's size.
    A lateral is a convolution of 1 × 1, and one of 3 × 3 smooths each level; batch normalisation, which the paper does
    not have, comes after each of them, and as in the paper no ReLU. Each smoothed level comes down to the last map's
    size by maximum pooling, whose window is as long as its stride; then all are joined behind the last map, the
    earliest level first.

    Args:
        stages: channels of each earlier stage, and how many times as high and wide as the last map its map is.
        channels: of the last map.
        initialisation: how new convolutions begin.

    Attributes:
        channels: of what is joined.
    """

    def __init__(
        self, stages: Sequence[tuple[int, int]], channels: int, initialisation: Initialisation = "kaiming"
    ) -> None:
        super().__init__()
        level = min(PYRAMID_CHANNELS, channels)
        widths = [*(width for width, _ in stages), channels]
        self.strides = [*(stride for _, stride in stages), 1]
        self.laterals = nn.ModuleList(_normalised(width, level, 1, 1, initialisation) for width in widths)
        self.smoothings = nn.ModuleList(_normalised(level, level, 3, 1, initialisation) for _ in widths)
        self.channels = channels + level * len(widths)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Joins one map (batch, channels, height, width) of each stage to one of `self.channels` channels."""
        levels = [lateral(stage) for lateral, stage in zip(self.laterals, maps, strict=True)]
        for index in range(len(levels) - 2, -1, -1):
            size = levels[index].shape[-2:]
            levels[index] = levels[index] + functional.interpolate(levels[index + 1], size=size, mode="nearest")
        smoothed = [smooth(level) for smooth, level in zip(self.smoothings, levels, strict=True)]
        brought = [
            functional.max_pool2d(level, stride, ceil_mode=True) if stride > 1 else level
            for level, stride in zip(smoothed, self.strides, strict=True)
        ]
        return torch.cat([maps[-1], *brought], dim=1)


def _normalised(channels: int, outputs: int, kernel: int, stride: int, initialisation: Initialisation) -> nn.Sequential:
    """A convolution without bias that keeps the size but for its stride, and batch normalisation."""
    convolution = nn.Conv2d(channels, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(initialise(convolution, initialisation), nn.BatchNorm2d(outputs))


def _chain(channels: int, last: int, stride: int, initialisation: Initialisation) -> nn.Sequential:
    layers: list[nn.Module] = []
    while stride > 2:
        wider = min(2 * channels, last)
        layers += [*_normalised(channels, wider, 3, 2, initialisation), nn.ReLU()]
        channels, stride = wider, stride // 2
    convolution = nn.Conv2d(channels, last, 3, stride=stride, padding=1, bias=False)
    norm = nn.BatchNorm2d(last)
    nn.init.zeros_(norm.weight)
    return nn.Sequential(*layers, initialise(convolution, initialisation), norm)
