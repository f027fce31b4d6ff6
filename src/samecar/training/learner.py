"""What learns from a batch: the model, its objective, the optimiser, and the average of the weights."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.nn.utils import clip_grad_norm_

from samecar.config import Recipe
from samecar.hardware import Speed
from samecar.losses.objective import Objective
from samecar.models import Embedder
from samecar.models.embedder import Outputs
from samecar.models.layers.side_information import Side
from samecar.training.averaging import AveragedModel
from samecar.training.checkpoints import Checkpoint
from samecar.training.freezing import FrozenPart
from samecar.training.groups import parameter_groups
from samecar.training.optim import build_optimizer
from samecar.training.rates import scheduled_rate

Read = Callable[[Tensor, Side | None], Outputs]
"""From pictures, (batch, 3, height, width), and what is known of them besides to what the network says."""


class Learner:
    """A model in training, with all that changes with it.

    Attributes:
        model: that is trained, on `device`.
        objective: what it is punished for.
        optimizer: of the parameters of both.
        recipe: how it is trained.
        device: where.
        speed: how it uses the machine.
        outputs: what the network says of pictures, (batch, 3, height, width), and of what is known of them besides.
        waiting: batches whose gradients wait for the next step.
        rate: the learning rate of the next step; a parameter group may have a multiple of it.

    Args:
        model: is moved to the device, and trained in place.
        recipe: how to train.
        device: where to train.
        speed: how to use the machine; by default as `Speed` says.

    Raises:
        SamecarError: the recipe's losses, layer decay or frozen part do not go together with the model.
    """

    def __init__(self, model: Embedder, recipe: Recipe, device: torch.device, speed: Speed | None = None) -> None:
        settings = recipe.training
        self.recipe = recipe
        self.device = device
        self.speed = speed or Speed()
        self.model = model.to(device)
        if self.speed.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.objective = Objective(recipe.loss, model).to(device)
        groups = parameter_groups(model, self.objective, recipe.optimizer)
        self.optimizer = build_optimizer(groups, recipe.optimizer, fused=self.speed.fused)
        self.waiting = 0
        self.rate = recipe.optimizer.learning_rate
        self._scaler = GradScaler(device.type, enabled=settings.precision == "float16")
        self._average = AveragedModel(model, settings.ema) if settings.ema else None
        self._frozen = FrozenPart(model, settings.frozen) if settings.freeze_backbone_epochs else None
        self.outputs: Read = _compile(self.model) if self.speed.compile else self.model.outputs

    @property
    def trained(self) -> Embedder:
        """The model to score and to keep: the average of the weights, if the recipe asks for it."""
        return self.model if self._average is None else self._average.module

    @property
    def checkpoint(self) -> Checkpoint:
        """All that resuming needs, where no gradients wait."""
        return Checkpoint(self.model, self.optimizer, self._scaler, self.objective, self._average)

    def begin_epoch(self, epoch: int) -> None:
        """Readies the model for an epoch, counted from 0."""
        self.model.train()
        if self._frozen is not None:
            self._frozen.thaw()
            if epoch < self.recipe.training.freeze_backbone_epochs:
                self._frozen.freeze()

    def set_rate(self, epoch: int, share: float) -> None:
        """Gives every parameter the rate that it has at a share of an epoch; one step has one rate for its batches."""
        if self.waiting:
            return
        self.rate = scheduled_rate(self.recipe, epoch, share)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * group.get("lr_scale", 1)

    def learn(self, loss: Tensor) -> None:
        """Adds a batch's gradients to those that wait, and makes a step if enough batches have been seen."""
        if not self.waiting:
            self.optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.waiting += 1
        if self.waiting == self.recipe.training.accumulation:
            self.step()

    def step(self) -> None:
        """Makes a step with the mean of the gradients that wait; without any it does nothing."""
        if not self.waiting:
            return
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        clip_norm = self.recipe.optimizer.clip_norm
        if self.waiting > 1 or clip_norm:
            self._scaler.unscale_(self.optimizer)
        if self.waiting > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad /= self.waiting
        if clip_norm:
            clip_grad_norm_(parameters, clip_norm)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.waiting = 0
        if self._average is not None:
            self._average.add(self.model)


def _compile(model: Embedder) -> Read:
    from samecar.training.compiling import CompiledNetwork  # loading torch's compiler takes seconds

    return CompiledNetwork(model)
