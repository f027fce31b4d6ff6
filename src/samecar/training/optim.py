"""Optimisers, as the report uses them."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from samecar.config import OptimizerSettings


def build_optimizer(
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], settings: OptimizerSettings, *, fused: bool = False
) -> Optimizer:
    """Makes an optimiser over parameters or, as [parameter_groups][samecar.training.parameter_groups] gives, groups.

    Weight decay applies to every parameter whose group does not say otherwise.

    Args:
        parameters: of the model, and of losses that learn.
        settings: which optimiser, and its constants.
        fused: change all weights in one go. torch has that for Adam and AdamW; its gradient descent fails where a
            weight has its first gradient after others, as thawed ones have, and RMSprop has none.
    """
    rate, decay = settings.learning_rate, settings.weight_decay
    at_once = True if fused else None  # None lets torch choose, as it did before there was a choice
    if settings.name == "adam":
        return Adam(parameters, rate, settings.betas, weight_decay=decay, fused=at_once)
    if settings.name == "amsgrad":
        return Adam(parameters, rate, settings.betas, weight_decay=decay, amsgrad=True, fused=at_once)
    if settings.name == "adamw":
        return AdamW(parameters, rate, settings.betas, weight_decay=decay, amsgrad=settings.amsgrad, fused=at_once)
    if settings.name == "rmsprop":
        return RMSprop(parameters, rate, settings.alpha, weight_decay=decay, momentum=settings.momentum)
    return SGD(parameters, rate, settings.momentum, weight_decay=decay)
