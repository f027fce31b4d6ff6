"""Weights to begin from: timm's own, a local file, or a file inside an installed Python package."""

from collections.abc import Collection, Mapping
from typing import Any

import timm
from torch import Tensor, nn

from samecar.errors import SamecarError


def create_pretrained(name: str, **arguments: Any) -> nn.Module:
    return timm.create_model(name, pretrained=True, **arguments)


def read_weights(source: str) -> dict[str, Tensor]:
    raise SamecarError(f"{source} is not there")


def holds_embedder(state: Mapping[str, Tensor]) -> bool:
    return any(key.startswith("backbone.model.") for key in state)


def load_backbone_weights(model: nn.Module, state: Mapping[str, Tensor], source: str, optional: Collection[str]) -> str:
    return ""


def load_embedder_weights(embedder: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    return None
