"""Which rate and which weight decay each parameter has."""

from collections.abc import Iterator
from fnmatch import fnmatch
from types import SimpleNamespace
from typing import Any

from timm.models import group_parameters
from torch import nn

from samecar.config import OptimizerSettings
from samecar.errors import SamecarError
from samecar.models import Embedder
from samecar.models.backbones import AttentiveStage, Backbone

BACKBONE = "backbone."
MODEL = "backbone.model."
"""What the names of an embedder's parameters begin with in its backbone, and in timm's model there."""


def parameter_groups(
    model: Embedder, objective: nn.Module, settings: OptimizerSettings
) -> list[nn.Parameter] | list[dict[str, Any]]:
    """Puts all parameters into groups of equal rate and weight decay, as torch's optimisers take them.

    A parameter's rate is `lr_scale` of its group, as in timm, times the rate of the schedule. `lr_scale` is
    `head_rate` for new layers and for the objective's own parameters. In the backbone it is `layer_decay` to the power
    of the number of layers from there to the new ones, which count as one (Clark et al., arXiv 2003.10555; Bao et al.,
    arXiv 2106.08254); timm says which layer a parameter is of, for a vision transformer the embedding of patches and
    each block. Biases have `bias_rate` times that. Without `decay_norms_and_biases` a parameter of one dimension has no
    weight decay, nor has what the backbone's authors leave out.

    Args:
        model: all of its parameters are there, those that are frozen for now too.
        objective: what is trained of it is there as well.
        settings: the rates, and what decays.

    Returns:
        Groups in the order of their first parameter. Where all rates are 1 and everything decays, the bare parameters:
        the optimiser then has the one group that it always had.

    Raises:
        SamecarError: `layer_decay` is below 1 and timm does not know the backbone's layers.
    """
    if settings.head_rate == settings.bias_rate == settings.layer_decay == 1 and settings.decay_norms_and_biases:
        return [*model.parameters(), *objective.parameters()]
    scales = _layer_scales(model, settings)
    spared = _never_decayed(model.backbone)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in _named_parameters(model, objective):
        is_bias = name.rpartition(".")[2].endswith("bias")
        scale = scales.get(name, settings.head_rate) * (settings.bias_rate if is_bias else 1)
        small = parameter.ndim <= 1 or is_bias or any(fnmatch(name, pattern) for pattern in spared)
        decay = 0.0 if small and not settings.decay_norms_and_biases else settings.weight_decay
        group = groups.setdefault((scale, decay), {"params": [], "lr_scale": scale, "weight_decay": decay})
        group["params"].append(parameter)
    return list(groups.values())


def new_parameters(model: Embedder) -> set[str]:
    """Names of the parameters that do not come with the backbone: they begin anew, whatever its weights are."""
    inserted = {id(parameter) for module in model.backbone.inserted() for parameter in module.parameters()}
    return {
        name
        for name, parameter in model.named_parameters()
        if not name.startswith(BACKBONE) or id(parameter) in inserted
    }


def _named_parameters(model: Embedder, objective: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    yield from model.named_parameters()
    for name, parameter in objective.named_parameters():
        yield f"objective.{name}", parameter


def _layer_scales(model: Embedder, settings: OptimizerSettings) -> dict[str, float]:
    """What layer decay multiplies the rate by, for each parameter that comes with the backbone."""
    new = new_parameters(model)
    old = [name for name, _ in model.named_parameters() if name not in new]
    if settings.layer_decay == 1:
        return dict.fromkeys(old, 1.0)
    layers = _layers(model, settings)
    last = max(layers.values())
    return {name: settings.layer_decay ** (last + 1 - layers.get(name, last)) for name in old}


def _layers(model: Embedder, settings: OptimizerSettings) -> dict[str, int]:
    """The number of the layer that each parameter of timm's model is of; the first one is 0."""
    network = model.backbone.model
    if not hasattr(network, "group_matcher"):
        raise SamecarError(
            f"optimizer.layer_decay is {settings.layer_decay:g} but timm does not say which layers model.backbone "
            f"{model.settings.backbone!r} has; leave layer_decay out, or choose another backbone"
        )
    names = _plain_names(model)
    plain: Any = SimpleNamespace(named_parameters=lambda: [(name, None) for name in names])
    numbers: dict[str, int] = group_parameters(plain, network.group_matcher(coarse=False), reverse=True)
    return {MODEL + name: numbers[plain_name] for plain_name, name in names.items()}


def _plain_names(model: Embedder) -> dict[str, str]:
    """From the names that parameters have in timm's own model to those that they have here, inside of what refines."""
    network, new = model.backbone.model, new_parameters(model)
    wrapped = [name for name, module in network.named_modules() if isinstance(module, AttentiveStage)]
    names: dict[str, str] = {}
    for name, _ in network.named_parameters():
        if MODEL + name in new:
            continue
        plain = name
        for place in reversed(wrapped):  # what is wrapped inside of another one first
            if plain.startswith(f"{place}.stage."):
                plain = place + plain.removeprefix(f"{place}.stage")
        names[plain] = name
    return names


def _never_decayed(backbone: Backbone) -> list[str]:
    """Names of the parameters that the backbone's authors keep from weight decay, such as position embeddings."""
    spared: set[str] = getattr(backbone.model, "no_weight_decay", set)()
    return [MODEL + name for name in spared]
