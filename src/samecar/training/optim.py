"""Optimisers and learning-rate schedules, as the report uses them."""

import math
from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from samecar.config import OptimizerSettings, ScheduleSettings


def build_optimizer(parameters: Iterable[nn.Parameter], settings: OptimizerSettings) -> Optimizer:
    """Makes an optimiser over all parameters; weight decay applies to every one of them."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.name == "adam":
        return Adam(parameters, rate, settings.betas, weight_decay=decay)
    if settings.name == "amsgrad":
        return Adam(parameters, rate, settings.betas, weight_decay=decay, amsgrad=True)
    if settings.name == "adamw":
        return AdamW(parameters, rate, settings.betas, weight_decay=decay, amsgrad=settings.amsgrad)
    if settings.name == "rmsprop":
        return RMSprop(parameters, rate, settings.alpha, weight_decay=decay, momentum=settings.momentum)
    return SGD(parameters, rate, settings.momentum, weight_decay=decay)


def learning_rate(settings: ScheduleSettings, rate: float, epoch: int, epochs: int) -> float:
    """Gives the learning rate of an epoch.

    A pure function of the epoch, so that a resumed run cannot restart its schedule. The warm-up rises linearly from
    `warmup_start` of the rate at epoch 0 and reaches the rate at epoch `warmup_epochs`; from there multi-step
    multiplies by `factor` at each milestone passed, and cosine falls to zero at epoch `epochs`.

    Args:
        settings: the schedule.
        rate: the optimiser's learning rate.
        epoch: counted from 0.
        epochs: of the whole run.
    """
    if epoch < settings.warmup_epochs:
        share = settings.warmup_start + (1 - settings.warmup_start) * epoch / settings.warmup_epochs
        return rate * share
    if settings.decay == "multi-step":
        return rate * settings.factor ** sum(epoch >= milestone for milestone in settings.milestones)
    if settings.decay == "cosine":
        passed = (epoch - settings.warmup_epochs) / max(1, epochs - settings.warmup_epochs)
        return rate * (1 + math.cos(math.pi * passed)) / 2
    return rate
