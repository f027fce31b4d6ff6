"""Instance normalisation inside of residual networks: IBN-a and IBN-b (Pan et al., arXiv 1807.09441).

Instance normalisation takes a picture's own colours and light away, batch normalisation keeps what tells
vehicles apart.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from samecar.errors import SamecarError

InstanceNorm = Literal["none", "ibn-a", "ibn-b"]

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Of batch normalisation; instance normalisation has none."""

LAST_ACTIVATIONS = ("act3", "act2")
"""Of a residual block, the one after the addition first: a bottleneck has three, a basic block two."""


class HalfInstanceNorm(nn.Module):
    """Instance normalisation of the first half of the channels, batch normalisation of the others: IBN.

    Its parts have the names of the published networks, so that their files fit.

    Args:
        channels: of the maps; of an odd number the smaller half has instance normalisation.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = channels // 2
        self.IN = nn.InstanceNorm2d(self.first, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.first)

    def forward(self, maps: Tensor) -> Tensor:
        """Normalises maps, (batch, channels, height, width)."""
        return torch.cat([self.IN(maps[:, : self.first]), self.BN(maps[:, self.first :])], dim=1)


def add_instance_norm(model: Any, kind: InstanceNorm) -> None:
    """Puts instance normalisation into a residual network of timm; what it has learned stays in the places that remain.

    'ibn-a' splits the first normalisation of each block of stages 1 to 3, see `HalfInstanceNorm`. 'ibn-b' normalises
    after the addition at the end of stages 1 and 2, and in the stem in place of the batch normalisation.

    Args:
        model: with stages layer1 to layer4; it is changed.
        kind: 'none' changes nothing.

    Raises:
        SamecarError: the network has no such blocks.
    """
    if kind == "none":
        return
    stages = [list(getattr(model, f"layer{number}", ())) for number in range(1, 5)]
    splits = all(_has_batch_norm(block) for stage in stages for block in stage)
    ends = kind == "ibn-a" or all(stage and _last_activation(stage[-1]) for stage in stages[:2])
    if not all(stages) or not splits or not ends or (kind == "ibn-b" and not _has_batch_norm(model)):
        raise SamecarError(
            f"model.instance_norm {kind!r} needs the blocks of a residual network, which {type(model).__name__} of "
            "timm does not have; choose a ResNet such as 'resnet50', or instance_norm 'none'"
        )
    if kind == "ibn-a":
        for block in (block for stage in stages[:3] for block in stage):
            block.bn1 = _like(HalfInstanceNorm(block.bn1.num_features), block.bn1, "bn1")
    else:
        model.bn1 = _like(nn.InstanceNorm2d(model.bn1.num_features, affine=True), model.bn1, "bn1")
        for stage in stages[:2]:
            name = _last_activation(stage[-1])
            channels = _output_channels(stage[-1])
            end = nn.Sequential()  # "IN" is the name in published networks
            end.add_module("IN", nn.InstanceNorm2d(channels, affine=True))
            end.add_module("act", getattr(stage[-1], name))
            setattr(stage[-1], name, end)


def end_norms(model: nn.Module) -> list[nn.Module]:
    """The normalisations at the end of blocks, which a plain network does not have and which begin anew."""
    return [module for name, module in model.named_modules() if _is_end(name, module)]


def fit_instance_norm(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Brings tensors of a plain network, or of a published IBN network, to a model with instance normalisation.

    Of a batch normalisation that was split the first half of the scale and shift goes to the instance normalisation,
    the second half to the batch normalisation. Where the plain network has nothing, the model's own tensors are taken.

    Args:
        model: perhaps with instance normalisation.
        state: tensors by key in timm's names; those of a model without any are given back as they are.
    """
    fitted = dict(state)
    for name, module in model.named_modules():
        if isinstance(module, HalfInstanceNorm) and f"{name}.weight" in fitted:
            fitted |= _split(name, module.first, fitted)
            for key in ("weight", "bias", *STATISTICS):
                fitted.pop(f"{name}.{key}", None)
        elif _is_end(name, module):
            block = name.rsplit(".", 2)[0]
            for key, own in module.named_parameters():
                published = fitted.pop(f"{block}.IN.{key}", own.detach())
                fitted.setdefault(f"{name}.{key}", published)
        elif isinstance(module, nn.InstanceNorm2d):
            for key in STATISTICS:
                fitted.pop(f"{name}.{key}", None)
    return fitted


def _is_end(name: str, module: nn.Module) -> bool:
    """Whether a module is the normalisation after an addition, and not the half of another one."""
    return isinstance(module, nn.InstanceNorm2d) and name.endswith(tuple(f"{act}.IN" for act in LAST_ACTIVATIONS))


def _split(name: str, half: int, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parts = {}
    for key in ("weight", "bias", *STATISTICS):
        tensor = state.get(f"{name}.{key}")
        if tensor is None:
            continue
        if key in ("weight", "bias"):
            parts[f"{name}.IN.{key}"] = tensor[:half]
        parts[f"{name}.BN.{key}"] = tensor[half:] if tensor.ndim else tensor
    return parts


def _like(norm: nn.Module, plain: nn.BatchNorm2d, name: str) -> nn.Module:
    """A new normalisation with what a plain one has learned, and its epsilon and momentum."""
    for part in _norms(norm):
        part.eps, part.momentum = plain.eps, plain.momentum
    holder = nn.Module()
    holder.add_module(name, norm)
    holder.load_state_dict(
        fit_instance_norm(holder, {f"{name}.{key}": each for key, each in plain.state_dict().items()})
    )
    return norm


def _norms(module: nn.Module) -> Iterator[nn.BatchNorm2d | nn.InstanceNorm2d]:
    return (part for part in module.modules() if isinstance(part, nn.BatchNorm2d | nn.InstanceNorm2d))


def _has_batch_norm(module: nn.Module) -> bool:
    return isinstance(getattr(module, "bn1", None), nn.BatchNorm2d)


def _last_activation(block: nn.Module) -> str:
    """The name of the activation after the addition; empty if the block has none of its own."""
    return next((name for name in LAST_ACTIVATIONS if hasattr(block, name)), "")


def _output_channels(block: Any) -> int:
    return int((block.bn3 if hasattr(block, "bn3") else block.bn2).num_features)
