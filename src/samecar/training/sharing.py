"""One batch over several processes: each calculates a part of it, and all see the whole of what losses compare."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.modules.batchnorm import _BatchNorm

from samecar.data import Batch, Failure
from samecar.errors import SamecarError
from samecar.models import Embedder
from samecar.models.layers.side_information import Side
from samecar.models.parts import Part
from samecar.processes import Processes

LEAST = 2
"""Pictures that batch normalisation needs to normalise a part of a batch by itself."""


class WholeBatch(NamedTuple):
    """What all processes know of a batch, in the order that it has in one process.

    Attributes:
        labels: (batch,) int64, as in `Batch`.
        cameras: (batch,) int64, likewise.
        failures: the pictures that are not in the batch because they could not be read.
        sizes: pictures in the part of each process.
    """

    labels: Tensor
    cameras: Tensor
    failures: tuple[Failure, ...]
    sizes: tuple[int, ...]


class WholeOutputs(NamedTuple):
    """What a network says of a whole batch; an objective reads it.

    Attributes:
        parts: as in [Outputs][samecar.models.Outputs].
    """

    parts: tuple[Part, ...]


def gather_batch(own: Batch, processes: Processes) -> WholeBatch:
    """Tells all processes what each knows of its part of a batch; this waits for no GPU."""
    if processes.count == 1:
        return WholeBatch(own.labels, own.cameras, own.failures, (len(own.labels),))
    counts = processes.gather_rows(torch.tensor([[len(own.labels), len(own.failures)]]), [1] * processes.count)
    sizes, failed = (tuple(column.tolist()) for column in counts.T)
    failures = processes.gather_objects(own.failures) if any(failed) else []
    if not any(sizes):
        numbers = torch.empty(0, 2, dtype=torch.int64)
    else:
        numbers = processes.gather_rows(torch.stack([own.labels, own.cameras], dim=1), sizes)
    labels, cameras = numbers.T
    return WholeBatch(labels, cameras, tuple(failure for part in failures for failure in part), sizes)


class SharedNetwork(nn.Module):
    """A network that calculates one process's part of a batch, and gives its outputs for the whole batch.

    It is what DistributedDataParallel wraps. All processes calculate the same loss of the same outputs, so that
    each knows the gradient of its own part without asking the others; as the wrapper takes the mean over the
    processes where the sum is meant, that gradient is multiplied by their number.

    Args:
        model: that is trained.
        processes: that share a batch.
    """

    def __init__(self, model: Embedder, processes: Processes) -> None:
        super().__init__()
        self.model = model
        self._processes = processes
        self._synchronised = any(isinstance(module, nn.SyncBatchNorm) for module in model.modules())

    def forward(self, pictures: Tensor, side: Side, sizes: Sequence[int]) -> WholeOutputs:
        """Embeds and scores the pictures of this process, and gathers those of all.

        A part that has lost its pictures, as they could not be read, runs an empty picture, whose outputs go nowhere,
        so that no other process waits for ever. Where fewer than `LEAST` are left, batch normalisation uses its running
        means.

        Args:
            pictures: (part, 3, height, width).
            side: cameras and views of these pictures.
            sizes: pictures in the part of each process.
        """
        size = sizes[self._processes.rank]
        if not size:
            shape = self.model.preprocessing.height, self.model.preprocessing.width
            pictures = pictures.new_zeros(1, 3, *shape)
            cameras, views = side
            side = cameras.new_full((1,), -1), views.new_full((1,), -1)
        with _as_in_evaluation(self.model, size < LEAST and not self._synchronised):
            outputs = self.model.outputs(pictures, side)
        own = {id(tensor): tensor[:size] for part in outputs.parts for tensor in part if tensor is not None}
        gathered = dict(zip(own, _GatherParts.apply(self._processes, sizes, *own.values()), strict=True))
        return WholeOutputs(
            tuple(
                Part(*(cast(Tensor, None if tensor is None else gathered[id(tensor)]) for tensor in part))
                for part in outputs.parts
            )
        )


class _GatherParts(Function):
    """Rows of all processes; the gradient of one's own goes on, times the number of processes."""

    @staticmethod
    def forward(ctx: Any, processes: Processes, sizes: Sequence[int], *tensors: Tensor) -> tuple[Tensor, ...]:
        start = sum(sizes[: processes.rank])
        ctx.own, ctx.count = slice(start, start + sizes[processes.rank]), processes.count
        ctx.set_materialize_grads(False)  # what no loss reads has no gradient, as in one process
        return tuple(processes.gather_rows(tensor, sizes) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        return None, None, *(None if each is None else each[ctx.own] * ctx.count for each in gradients)


@contextmanager
def _as_in_evaluation(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Has a model calculate as in evaluation for the block, if wanted."""
    training = [module for module in model.modules() if wanted and module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def synchronise_batch_norm(model: nn.Module, device: torch.device) -> None:
    """Has the batch normalisation of a model take means and variances over the parts of all processes.

    Raises:
        SamecarError: the device is no GPU.
    """
    if device.type != "cuda":
        raise SamecarError(
            "training.synchronised_batch_norm is true and several processes train on processors, where torch cannot "
            "synchronise batch normalisation; take GPUs, one process, or leave it out"
        )
    convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]


def running_statistics(model: nn.Module) -> list[Tensor]:
    """The running means and variances that are being learned; each process has learned those of its parts."""
    return [
        statistic
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.training
        for statistic in (module.running_mean, module.running_var)
        if statistic is not None
    ]
