"""Parts of an embedder: what reads a branch's last map, or a stripe of it, up to features and classifier."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from samecar.config import ModelSettings
from samecar.models.layers.blocks import POOLINGS, build_classifier, build_head, build_neck


class PartPlace(NamedTuple):
    """Where a part stands, and how wide its features are.

    Attributes:
        branch: number of its branch, from 1.
        stripe: number of its stripe, from 1 at the top; 0 for the whole map.
        width: of its features.
    """

    branch: int
    stripe: int
    width: int


class Part(NamedTuple):
    """What a part says of a batch.

    Attributes:
        before: features before the neck, (batch, width).
        after: features after the neck, (batch, width); without a neck those before it.
        logits: scores of the train vehicles, (batch, vehicles); None without a classifier.
    """

    before: Tensor
    after: Tensor
    logits: Tensor | None


class PartLayers(Protocol):
    """The layers that a part consists of."""

    pooling: nn.Module
    head: nn.Module
    neck: nn.Module
    classifier: nn.Module | None


class FurtherPart(nn.Module):
    """The layers of a part beyond the first, whose layers the embedder itself has."""

    def __init__(self, pooling: nn.Module, head: nn.Module, neck: nn.Module, classifier: nn.Module | None) -> None:
        super().__init__()
        self.pooling = pooling
        self.head = head
        self.neck = neck
        self.classifier = classifier


def build_part(settings: ModelSettings, channels: int, vehicles: int, *, pools: bool) -> FurtherPart:
    """Builds the layers of one part.

    Args:
        settings: pooling, head, neck and how they begin.
        channels: of the map, or of a token model's pooled features.
        vehicles: how many the classifier tells apart; 0 means no classifier.
        pools: whether there is a map to be pooled.
    """
    bias, begin = not settings.zero_bias, settings.initialisation
    width = settings.embedding_size or channels
    has_neck = settings.neck != "none"
    return FurtherPart(
        POOLINGS[settings.pooling]() if pools else nn.Identity(),
        build_head(
            settings.head, channels, settings.embedding_size, dropout=settings.dropout, bias=bias, initialisation=begin
        ),
        build_neck(width) if has_neck else nn.Identity(),
        build_classifier(width, vehicles, bias=bias and not has_neck, initialisation=begin) if vehicles else None,
    )


def list_parts(settings: ModelSettings, width: int) -> tuple[PartPlace, ...]:
    """The parts of an embedder in their order: branch after branch, the whole map before its stripes."""
    return tuple(
        PartPlace(branch, stripe, width)
        for branch in range(1, settings.branches + 1)
        for stripe in range(settings.stripes + 1)
    )


def cut_stripes(maps: Tensor, stripes: int) -> list[Tensor]:
    """The whole map and its horizontal stripes from the top; where the height leaves a rest, upper ones have one more.

    Args:
        maps: (batch, channels, height, width).
        stripes: how many; 0 gives the whole map alone.
    """
    return [maps, *torch.tensor_split(maps, stripes, dim=2)] if stripes else [maps]


def read_features(layers: PartLayers, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Features before and after the neck, each (batch, width), of one part's map."""
    before: Tensor = layers.head(layers.pooling(maps))
    return before, layers.neck(before)


def join_features(features: Sequence[Tensor], branches: int) -> Tensor:
    """Puts the parts' features side by side to embeddings, (batch, embedding).

    Of several branches each is brought to length one, so that all count alike.

    Args:
        features: of all parts, in the order of `list_parts`.
        branches: how many of them there are.
    """
    if len(features) == 1:
        return features[0]
    each = len(features) // branches
    joined = [torch.cat(list(features[first : first + each]), dim=1) for first in range(0, len(features), each)]
    return torch.cat([functional.normalize(branch) for branch in joined], dim=1) if branches > 1 else joined[0]
