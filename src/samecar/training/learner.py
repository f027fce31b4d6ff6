"""What learns from a batch: the model, its objective, the optimiser, and the average of the weights."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from samecar.config import Recipe
from samecar.errors import SamecarError
from samecar.hardware import Speed
from samecar.losses.objective import Objective
from samecar.models import Embedder
from samecar.models.embedder import Outputs
from samecar.models.layers.side_information import Side
from samecar.processes import ALONE, Processes
from samecar.training.averaging import AveragedModel
from samecar.training.checkpoints import Checkpoint
from samecar.training.freezing import FrozenPart
from samecar.training.groups import parameter_groups
from samecar.training.optim import build_optimizer
from samecar.training.rates import scheduled_rate
from samecar.training.sharing import SharedNetwork, running_statistics, synchronise_batch_norm

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
        processes: that share a batch.
        waiting: batches whose gradients wait for the next step.
        rate: the learning rate of the next step; a parameter group may have a multiple of it.

    Args:
        model: is moved to the device, and trained in place.
        recipe: how to train.
        device: where to train.
        speed: how to use the machine; by default as `Speed` says.
        processes: that share a batch; all of them make a learner of an equal model.

    Raises:
        SamecarError: the recipe's losses, layer decay or frozen part do not go together with the model, or batch
            normalisation is to be synchronised without a GPU.
    """

    def __init__(
        self,
        model: Embedder,
        recipe: Recipe,
        device: torch.device,
        speed: Speed | None = None,
        processes: Processes = ALONE,
    ) -> None:
        settings = recipe.training
        self.recipe = recipe
        self.device = device
        self.speed = speed or Speed()
        self.processes = processes
        if self.speed.compile and processes.count > 1:
            raise SamecarError("a network is compiled in one process alone; leave out compile, or the other processes")
        if settings.synchronised_batch_norm and processes.count > 1:
            synchronise_batch_norm(model, device)
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
        self._read: Read = _compile(self.model) if self.speed.compile else self.model.outputs
        self._shared = _share(self.model, processes) if processes.count > 1 else None

    def outputs(self, pictures: Tensor, side: Side, sizes: Sequence[int] = ()) -> Outputs:
        """What the network says of a batch, of which each process calculates a part.

        Args:
            pictures: of this process, (part, 3, height, width), on the device.
            side: cameras and views of these pictures.
            sizes: pictures in the part of each process; of one process they are not read.
        """
        if self._shared is None:
            return self._read(pictures, side)
        outputs: Outputs = self._shared(pictures, side, sizes)
        return outputs

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
        if not self.processes.first:  # the first one's random numbers go on, and are in checkpoints
            told = np.random.SeedSequence([self.recipe.training.seed, epoch, self.processes.rank])
            torch.manual_seed(int(told.generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def end_epoch(self) -> None:
        """Makes a step of what waits, and lets all processes have what each has learned of batch normalisation."""
        self.step()
        if self.processes.count > 1:
            self.processes.average(running_statistics(self.model))
            self.processes.share([*self.objective.state_dict().values()])
            if self._average is not None:
                self._average.copy_buffers(self.model)

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
        # All processes have calculated these from equal numbers; on a GPU their last digits may still differ.
        self.processes.share([each.grad for each in self.objective.parameters() if each.grad is not None])
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


def _share(model: Embedder, processes: Processes) -> DistributedDataParallel:
    """The network as one of several processes runs it.

    What is frozen, or read by no loss, differs from epoch to epoch and from recipe to recipe; torch finds it in each
    batch.
    """
    with warnings.catch_warnings():
        # Later torch has a new name for what it does not do here, which the oldest that we take does not know.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return DistributedDataParallel(
            SharedNetwork(model, processes), broadcast_buffers=False, find_unused_parameters=True
        )
