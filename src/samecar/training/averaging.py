"""The exponential moving average of a model's weights."""

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor

from samecar.models import Embedder


class AveragedModel(ModelEmaV3):
    """A second model whose parameters are a moving average of those of the model that is trained.

    After each step every parameter becomes decay × itself + (1 - decay) × that of the trained model. The decay after t
    steps is min(decay, (1 + t) / (10 + t)), as in TensorFlow's ExponentialMovingAverage, so that the weights of the
    beginning are forgotten in a short training too. Running means and variances are copied: they are averages already.

    Attributes:
        module: the averaged model, always in evaluation.
        steps: that were averaged, a scalar on the processor.

    Args:
        model: that is trained; the average begins as a copy of it.
        decay: below 1; .9998 averages over the last 5000 steps.
    """

    module: Embedder
    steps: Tensor

    def __init__(self, model: Embedder, decay: float) -> None:
        super().__init__(model, decay, exclude_buffers=True)
        self.register_buffer("steps", torch.tensor(0))

    def get_decay(self, step: int | None = None) -> float:
        """The decay of the step after `step` others; without `step`, of one after ever so many."""
        return self.decay if step is None else min(self.decay, (1 + step) / (10 + step))

    def add(self, model: Embedder) -> None:
        """Takes in the model after a step."""
        self.update(model, int(self.steps))
        self.steps += 1

    def copy_buffers(self, model: Embedder) -> None:
        """Takes over the model's running means and variances between two steps."""
        for mine, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)
