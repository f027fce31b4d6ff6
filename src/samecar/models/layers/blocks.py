"""Parts that stand between a backbone and an embedding: attention, fusion, pooling, heads.

How new convolutions and linear layers begin is an `Initialisation`: 'kaiming' gives convolutions and hidden layers
Kaiming's normal weights for ReLU (He et al., arXiv 1502.01852) and zero biases, and lets the classifier begin near zero
(deviation 0.001), so that at first every vehicle is equally likely; 'torch' leaves all as torch makes them.
"""

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)

Initialisation = Literal["kaiming", "torch"]


class SqueezeExcitation(nn.Module):
    """Weighs channels by what the whole map shows (Hu et al., arXiv 1709.01507).

    map · sigmoid(W2 relu(W1 average(map))), with channels / reduction, at least 1, between the two linear layers.
    """

    def __init__(self, channels: int, reduction: int = 16, initialisation: Initialisation = "kaiming") -> None:
        super().__init__()
        self.gate = channel_perceptron(channels, reduction, initialisation)

    def forward(self, maps: Tensor) -> Tensor:
        """Refines maps, (batch, channels, height, width), to maps of the same shape."""
        weights = torch.sigmoid(self.gate(maps.mean(dim=(2, 3))))  # (batch, channels)
        return maps * weights[:, :, None, None]


class ConvolutionalBlockAttention(nn.Module):
    """CBAM: weighs channels, then places (Woo et al., arXiv 1807.06521, equations 1 to 3).

    The channels' weights are sigmoid(P(average(map)) + P(max(map))) with one perceptron P for both; the places' are
    sigmoid of a 7 × 7 convolution over the channels' average and maximum.
    """

    def __init__(self, channels: int, reduction: int = 16, initialisation: Initialisation = "kaiming") -> None:
        super().__init__()
        self.gate = channel_perceptron(channels, reduction, initialisation)
        self.place = initialise(nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False), initialisation)

    def forward(self, maps: Tensor) -> Tensor:
        """Refines maps, (batch, channels, height, width), to maps of the same shape."""
        weights = torch.sigmoid(self.gate(maps.mean(dim=(2, 3))) + self.gate(maps.amax(dim=(2, 3))))
        maps = maps * weights[:, :, None, None]
        summary = torch.cat([maps.mean(dim=1, keepdim=True), maps.amax(dim=1, keepdim=True)], dim=1)
        return maps * torch.sigmoid(self.place(summary))  # (batch, 1, height, width) for every channel


ATTENTIONS: dict[str, type[SqueezeExcitation | ConvolutionalBlockAttention]] = {
    "se": SqueezeExcitation,
    "cbam": ConvolutionalBlockAttention,
}


class Fusion(nn.Module):
    """Joins the maps of several stages at the size of the last one, which stays as it is.

    Args:
        projections: one for each earlier stage, such as `point_projection`; it brings the stage's map to the last one's
            channels, height and width.
        channels: of the last stage.
        add: the maps are added; otherwise they are concatenated, earlier stages first.
    """

    def __init__(self, projections: Sequence[nn.Module], channels: int, *, add: bool) -> None:
        super().__init__()
        self.projections = nn.ModuleList(projections)
        self.add = add
        self.channels = channels if add else channels * (len(projections) + 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Joins one map (batch, channels, height, width) of each stage to one of `self.channels` channels."""
        *earlier, last = maps
        joined = [project(stage) for project, stage in zip(self.projections, earlier, strict=True)] + [last]
        return torch.stack(joined).sum(dim=0) if self.add else torch.cat(joined, dim=1)


def point_projection(
    channels: int, last: int, stride: int, initialisation: Initialisation = "kaiming"
) -> nn.Sequential:
    """A 1 × 1 convolution with batch normalisation, from `channels` to `last` channels."""
    convolution = nn.Conv2d(channels, last, kernel_size=1, stride=stride, bias=False)
    return nn.Sequential(initialise(convolution, initialisation), nn.BatchNorm2d(last))


def chain_projection(
    channels: int, last: int, stride: int, initialisation: Initialisation = "kaiming"
) -> nn.Sequential:
    """Convolutions of 3 × 3 and stride 2, each with a ReLU after it, that double the channels up to `last`.

    Where a stride of 2 or less is left to do, it is one 1 × 1 convolution without bias and without ReLU.

    Args:
        channels: of the stage.
        last: channels that the chain ends with.
        stride: how many times as high and wide as the last stage's map the stage's is, a power of 2.
        initialisation: how the convolutions begin.
    """
    if stride <= 2:
        return nn.Sequential(
            initialise(nn.Conv2d(channels, last, kernel_size=1, stride=stride, bias=False), initialisation)
        )
    layers: list[nn.Module] = []
    while stride > 1:
        stride //= 2
        wider = min(2 * channels, last) if stride > 1 else last
        convolution = nn.Conv2d(channels, wider, kernel_size=3, stride=2, padding=1)
        layers += [initialise(convolution, initialisation), nn.ReLU()]
        channels = wider
    return nn.Sequential(*layers)


class AveragePooling(nn.Module):
    """Each channel's mean."""

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, channels)."""
        return maps.mean(dim=(2, 3))


class MaximumPooling(nn.Module):
    """Each channel's maximum."""

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, channels)."""
        return maps.amax(dim=(2, 3))


class GeneralizedMeanPooling(nn.Module):
    """Each channel's generalised mean, mean(map^p)^(1/p) (Radenović et al., arXiv 1711.02512, equation 3).

    p is learned, one for all channels, and begins at 3. Values below 1e-6 count as 1e-6. Computed in float32, as shares
    of each map's largest value: powers of the values themselves leave the range of numbers where p grows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(3.0))

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, channels)."""
        with torch.autocast(maps.device.type, enabled=False):
            values = maps.float().clamp(min=1e-6)
            largest = values.detach().amax(dim=(2, 3), keepdim=True)
            means = ((values / largest) ** self.power).mean(dim=(2, 3))
            return largest.flatten(1) * means ** (1 / self.power)


POOLINGS: dict[str, type[nn.Module]] = {
    "average": AveragePooling,
    "max": MaximumPooling,
    "gem": GeneralizedMeanPooling,
}


def build_head(
    name: str,
    inputs: int,
    outputs: int | None,
    *,
    dropout: float,
    bias: bool,
    initialisation: Initialisation = "kaiming",
) -> nn.Sequential:
    """Layers between pooling and classifier.

    Args:
        name: 'none', 'fc', or a chain such as 'fc-bn-relu-dropout-fc', whose last fc is the classifier and not built.
        inputs: width of the pooled features.
        outputs: width of the embedding; not used by 'none'.
        dropout: share of the features that a dropout layer sets to 0 in training.
        bias: whether the linear layer has one.
        initialisation: how the linear layer begins.
    """
    if outputs is None or name == "none":
        return nn.Sequential()
    parts = ["fc"] if name == "fc" else name.split("-")[:-1]
    layers: dict[str, Callable[[], nn.Module]] = {
        "fc": lambda: initialise(nn.Linear(inputs, outputs, bias=bias), initialisation),
        "bn": lambda: nn.BatchNorm1d(outputs),
        "relu": nn.ReLU,
        "dropout": lambda: nn.Dropout(dropout),
    }
    return nn.Sequential(*(layers[part]() for part in parts))


def build_neck(width: int) -> nn.BatchNorm1d:
    """BNNeck (Luo et al., arXiv 1903.07071, section 3.6): batch normalisation of features, whose bias stays 0."""
    neck = nn.BatchNorm1d(width)
    neck.bias.requires_grad_(False)
    return neck


def build_classifier(
    inputs: int, vehicles: int, *, bias: bool, initialisation: Initialisation = "kaiming"
) -> nn.Linear:
    """A linear layer from embeddings (batch, inputs) to logits (batch, vehicles)."""
    classifier = nn.Linear(inputs, vehicles, bias=bias)
    if initialisation == "kaiming":
        nn.init.normal_(classifier.weight, std=0.001)
        if bias:
            nn.init.zeros_(classifier.bias)
    return classifier


def channel_perceptron(channels: int, reduction: int, initialisation: Initialisation) -> nn.Sequential:
    """Two linear layers with a ReLU between them, from (batch, channels) to as many; inside channels / reduction."""
    hidden = max(1, channels // reduction)
    return nn.Sequential(
        initialise(nn.Linear(channels, hidden), initialisation),
        nn.ReLU(),
        initialise(nn.Linear(hidden, channels), initialisation),
    )


def initialise(layer: Layer, initialisation: Initialisation) -> Layer:
    """Lets a layer begin as asked for; it is the layer that was given."""
    if initialisation == "kaiming":
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return layer
