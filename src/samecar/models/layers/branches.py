"""The last stage of a backbone as several branches: which modules they are made of."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def find_last_modules(model: Any, stages: Sequence[str], height: int, width: int) -> tuple[str, ...]:
    """Finds the modules that, one after the other, make the last map of the last stage but one's.

    They are the last stage and what a network has after it, such as an EfficientNet's last convolution. That they make
    the same map as the whole network is tried on a picture.

    Args:
        model: a timm model.
        stages: names of the modules at whose ends the stages' maps stand, the first stage's first.
        height: of a picture in pixels.
        width: of a picture in pixels.

    Returns:
        Names of the modules; none if the network is not made so.
    """
    model = copy.deepcopy(model).eval()
    parameter = next(model.parameters())
    picture = torch.linspace(-1, 1, 3 * height * width, dtype=parameter.dtype, device=parameter.device)
    picture = picture.view(1, 3, height, width)
    called: list[str] = []
    kept: list[Tensor] = []
    for name, module in _split_containers(model, stages):
        module.register_forward_pre_hook(_note(name, called))
    before_last = stages[-2]
    model.get_submodule(before_last).register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    with torch.no_grad():
        wanted = model.forward_features(picture)
        place = next((i for i, name in enumerate(called) if f"{before_last}.".startswith(f"{name}.")), None)
        if place is None or len(kept) != 1:
            return ()
        names = tuple(called[place + 1 :])
        found = kept[0]
        for name in names:
            found = model.get_submodule(name)(found)
    same = found.shape == wanted.shape and torch.allclose(found, wanted, rtol=1e-4, atol=1e-6, equal_nan=True)
    return names if same else ()


def copy_modules(model: nn.Module, names: Sequence[str], copies: int) -> nn.ModuleList:
    """Copies of some modules of a model, each a sequence with the weights that they have."""
    return nn.ModuleList(
        nn.Sequential(*(copy.deepcopy(model.get_submodule(name)) for name in names)) for _ in range(copies)
    )


def _split_containers(model: nn.Module, stages: Sequence[str]) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a model by name; in place of one that holds stages, those in it."""
    for name, module in model.named_children():
        if any(stage.startswith(f"{name}.") for stage in stages):
            yield from ((f"{name}.{inner}", part) for inner, part in module.named_children())
        else:
            yield name, module


def _note(name: str, called: list[str]) -> Callable[[nn.Module, object], None]:
    def note(_module: nn.Module, _inputs: object) -> None:
        called.append(name)

    return note
