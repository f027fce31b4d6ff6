"""Learning rates by the schedule of a recipe; nothing here needs torch."""

import math

from samecar.config import Recipe, ScheduleSettings


def scheduled_rate(recipe: Recipe, epoch: int, share: float = 0.0) -> float:
    """Gives the learning rate of a recipe at a place in its training.

    Args:
        recipe: names the rate, the schedule and the number of epochs.
        epoch: counted from 0.
        share: of the epoch that has gone by, from 0 up to but without 1; only a schedule per step reads it.
    """
    passed = epoch + share if recipe.schedule.per_step else epoch
    return learning_rate(recipe.schedule, recipe.optimizer.learning_rate, passed, recipe.training.epochs)


def learning_rate(settings: ScheduleSettings, rate: float, epoch: float, epochs: int) -> float:
    """Gives the learning rate after some epochs.

    A pure function of the epoch, so that a resumed run cannot restart its schedule. The warm-up rises linearly from
    `warmup_start` of the rate at epoch 0 and reaches the rate at epoch `warmup_epochs`; from there multi-step
    multiplies by `factor` at each milestone passed, and cosine falls to `minimum` of the rate at epoch `epochs`.

    Args:
        settings: the schedule.
        rate: the optimiser's learning rate.
        epoch: epochs that have gone by, with a fraction where the rate changes with every step.
        epochs: of the whole run.
    """
    if epoch < settings.warmup_epochs:
        share = settings.warmup_start + (1 - settings.warmup_start) * epoch / settings.warmup_epochs
        return rate * share
    if settings.decay == "multi-step":
        return rate * settings.factor ** sum(epoch >= milestone for milestone in settings.milestones)
    if settings.decay == "cosine":
        passed = (epoch - settings.warmup_epochs) / max(1, epochs - settings.warmup_epochs)
        fallen_to = (1 + math.cos(math.pi * passed)) / 2
        return rate * (settings.minimum + (1 - settings.minimum) * fallen_to)
    return rate
