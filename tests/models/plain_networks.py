"""The report's networks once more, put down plainly from its text and the papers, without samecar and without timm.

MobileNetV3 and ResNet18 are torchvision's. SE-ResNeXt50 is written from Xie et al. (arXiv 1611.05431) and Hu et al.
(arXiv 1709.01507). Modules are declared in the order in which a picture meets them, shortcuts last, so that tensors of
two networks of the same composition belong together by their order.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small, resnet18


class Network(nn.Module):
    """Stages, a fusion of their maps, the average of each channel, a head and a classifier."""

    def __init__(self, stages: nn.Module, fusion: nn.Module, head: nn.Sequential, classifier: nn.Linear) -> None:
        super().__init__()
        self.stages = stages
        self.fusion = fusion
        self.head = head
        self.classifier = classifier

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (batch, 3, height, width) to features (batch, embedding) and logits (batch, vehicles)."""
        features = self.head(self.fusion(self.stages(pictures)).mean(dim=(2, 3)))
        return features, self.classifier(features)


class MobileNetStages(nn.Module):
    """MobileNetV3-small up to its last map, whose four maps are those with 1/4, 1/8, 1/16 and 1/32 of the sides."""

    ends = (1, 3, 8, 12)

    def __init__(self) -> None:
        super().__init__()
        self.features = mobilenet_v3_small(weights=None).features

    def forward(self, maps: Tensor) -> list[Tensor]:
        kept = []
        for index, layer in enumerate(self.features):
            maps = layer(maps)
            if index in self.ends:
                kept.append(maps)
        return kept


class ResNetStages(nn.Module):
    """ResNet18 with something that refines the map of each stage before the next one reads it."""

    def __init__(self, attention: Callable[[int], nn.Module]) -> None:
        super().__init__()
        network = resnet18(weights=None)
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        self.stages = nn.ModuleList(
            nn.Sequential(layer, attention(channels))
            for layer, channels in (
                (network.layer1, 64),
                (network.layer2, 128),
                (network.layer3, 256),
                (network.layer4, 512),
            )
        )

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return _chain(self.stages, self.stem(pictures))


class SqueezeAndExcitation(nn.Module):
    """A stage's channels are weighed: average, fc to a sixteenth, ReLU, fc, sigmoid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // 16)
        self.excite = nn.Linear(channels // 16, channels)

    def forward(self, maps: Tensor) -> Tensor:
        average = maps.flatten(2).mean(dim=2)
        weights = self.excite(self.squeeze(average).clamp(min=0)).sigmoid()
        return torch.einsum("bchw,bc->bchw", maps, weights)


class ChannelsThenPlaces(nn.Module):
    """CBAM: one perceptron reads each channel's average and maximum; a 7 × 7 convolution reads each place's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.perceptron = nn.Sequential(
            nn.Linear(channels, channels // 16), nn.ReLU(), nn.Linear(channels // 16, channels)
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        flat = maps.flatten(2)
        of_channels = self.perceptron(flat.mean(dim=2)) + self.perceptron(flat.max(dim=2).values)
        maps = torch.einsum("bchw,bc->bchw", maps, of_channels.sigmoid())
        of_places = self.spatial(torch.stack([maps.mean(dim=1), maps.max(dim=1).values], dim=1))
        return maps * of_places.sigmoid()


class ResNeXtBlock(nn.Module):
    """1 × 1, 3 × 3 in 32 groups, 1 × 1, squeeze and excitation, and only then the shortcut is added."""

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        width, outputs = planes * 4 // 64 * 32, planes * 4
        self.narrow = nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.grouped = nn.Sequential(
            nn.Conv2d(width, width, 3, stride, padding=1, groups=32, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.widen = nn.Sequential(nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(outputs, outputs // 16, 1),
            nn.ReLU(),
            nn.Conv2d(outputs // 16, outputs, 1),
            nn.Sigmoid(),
        )
        self.shortcut = nn.Sequential()
        if inputs != outputs or stride != 1:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))

    def forward(self, maps: Tensor) -> Tensor:
        wide = self.widen(self.grouped(self.narrow(maps)))
        return torch.relu(wide * self.gate(wide) + self.shortcut(maps))


class SeResNeXtStages(nn.Module):
    """SE-ResNeXt50 32×4d; its pooling takes whole and cut windows at the far edges, and none before the near ones."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
        )
        self.stages = nn.ModuleList()
        inputs = 64
        for planes, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(ResNeXtBlock(inputs, planes, stride=2 if block == 0 and planes > 64 else 1))
                inputs = planes * 4
            self.stages.append(stage)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        return _chain(self.stages, self.stem(pictures))


class Last(nn.Module):
    """No fusion."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return maps[-1]


class LastTwo(nn.Module):
    """Stage 3 is brought to stage 4's size by a 1 × 1 convolution and batch norm; then they are joined."""

    def __init__(self, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(256, 512, 1, stride=2, bias=False), nn.BatchNorm2d(512))
        self.join = join

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return self.join(self.down(maps[2]), maps[3])


class AllFour(nn.Module):
    """All stages at stage 4's size and with its 512 channels, the earliest first.

    Stages 1 and 2 come down by 3 × 3 convolutions with bias, each of which halves the sides, doubles the channels and
    is followed by a ReLU; stage 3 by a 1 × 1 convolution alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = _halving_chain(64, 128, 256, 512)
        self.second = _halving_chain(128, 256, 512)
        self.third = nn.Conv2d(256, 512, 1, stride=2, bias=False)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        first, second, third, fourth = maps
        return torch.cat([self.first(first), self.second(second), self.third(third), fourth], dim=1)


def concatenate(earlier: Tensor, last: Tensor) -> Tensor:
    """Joins maps along their channels."""
    return torch.cat([earlier, last], dim=1)


def add(earlier: Tensor, last: Tensor) -> Tensor:
    """Joins maps number by number."""
    return earlier + last


def no_attention(channels: int) -> nn.Module:
    """Leaves maps as they are."""
    return nn.Identity()


def _chain(stages: nn.ModuleList, maps: Tensor) -> list[Tensor]:
    kept = []
    for stage in stages:
        maps = stage(maps)
        kept.append(maps)
    return kept


def _halving_chain(*channels: int) -> nn.Sequential:
    layers = nn.Sequential()
    for inputs, outputs in pairwise(channels):
        layers.append(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1))
        layers.append(nn.ReLU())
    return layers
