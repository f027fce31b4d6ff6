"""A network that torch compiles, once its first batch has shown that it says what the network as it is says."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from samecar.errors import SamecarError
from samecar.models import Embedder
from samecar.models.embedder import Outputs
from samecar.models.layers.side_information import Side
from samecar.training.learner import Read

OUTPUTS_AGREE, GRADIENTS_AGREE = 1e-3, 5e-2
"""Largest distance of what a network says of a batch, compiled, to the length of what it says as it is; of gradients.

Colours laid out otherwise alone move the gradients of MobileNetV3 by 0.006.
"""

ROUNDING = 2
"""A compiled network may be from single precision so many times as far as the network itself is in its precision."""


class CompiledNetwork:
    """What a network says of a batch, compiled; whoever calls it has chosen the precision.

    Args:
        model: to compile; it goes on to be trained.
    """

    def __init__(self, model: Embedder) -> None:
        self._model = model
        self._compiled: Read = torch.compile(model.outputs, options={"fallback_random": True})
        self._compared = False

    def __call__(self, pictures: Tensor, side: Side | None = None) -> Outputs:
        """Reads a batch, (batch, 3, height, width).

        Raises:
            SamecarError: the network cannot be compiled here, or says something else when compiled.
        """
        try:
            if not self._compared:
                self._compare(pictures, side)
                self._compared = True
            return self._compiled(pictures, side)
        except TorchDynamoException as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise SamecarError(f"the network cannot be compiled here: {reason}; leave --compile out") from error

    def _compare(self, pictures: Tensor, side: Side | None) -> None:
        device = pictures.device.type
        with torch.autocast(device, enabled=False):
            expected = self._try(self._model.outputs, pictures, side)
        allowed = [OUTPUTS_AGREE, GRADIENTS_AGREE]
        if torch.is_autocast_enabled(device):
            rounded = _distances(self._try(self._model.outputs, pictures, side), expected)
            allowed = [ROUNDING * distance + most for distance, most in zip(rounded, allowed, strict=True)]
        found = _distances(self._try(self._compiled, pictures, side), expected)
        for name, distance, most in zip(("outputs", "gradients"), found, allowed, strict=True):
            if not distance <= most:
                raise SamecarError(
                    f"the compiled network's {name} of the first batch are {distance:.3g} of their length away from "
                    f"those of the network as it is, and {most:.3g} are allowed; leave --compile out"
                )

    def _try(self, read: Read, pictures: Tensor, side: Side | None) -> tuple[Tensor, Tensor]:
        """What is said of a batch, and the gradients of a sum of it with fixed random weights, each in one row.

        Each output counts as much as any other, however long it is.
        """
        with unchanged(self._model, pictures.device):
            said = [tensor.float() for tensor in _tensors(read(pictures, side))]
            generator = torch.Generator().manual_seed(0)
            drawn = [torch.randn(tensor.shape, generator=generator).to(tensor.device) for tensor in said]
            parts = [(one * other).sum() / one.detach().norm() for one, other in zip(said, drawn, strict=True)]
            weights = [parameter for parameter in self._model.parameters() if parameter.requires_grad]
            total = torch.stack(parts).sum()
            gradients: tuple[Tensor | None, ...] = torch.autograd.grad(total, weights, allow_unused=True)
        told = torch.cat([tensor.detach().flatten() for tensor in said])
        return told, torch.cat([each.float().flatten() for each in gradients if each is not None])


def _distances(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> list[float]:
    """How far what was found is from what was expected, by the length of this."""
    return [float((one - other).norm() / other.norm()) for one, other in zip(found, expected, strict=True)]


def _tensors(outputs: Any) -> Iterator[Tensor]:
    for value in outputs:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple):
            yield from _tensors(value)


@contextmanager
def unchanged(model: Embedder, device: torch.device) -> Iterator[None]:
    """Undoes what a block changes of running means and of random numbers."""
    before = [buffer.clone() for buffer in model.buffers()]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        for buffer, value in zip(model.buffers(), before, strict=True):
            buffer.copy_(value)
