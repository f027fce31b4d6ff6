"""Where the random numbers of a block of code come from: a generator of its own, in whatever thread it runs."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import torch
from torch.overrides import TorchFunctionMode

DRAWING: Final = frozenset(
    {
        torch.rand,
        torch.randn,
        torch.randint,
        torch.randperm,
        torch.normal,
        torch.bernoulli,
        torch.multinomial,
        torch.Tensor.bernoulli,
        torch.Tensor.bernoulli_,
        torch.Tensor.exponential_,
        torch.Tensor.multinomial,
        torch.Tensor.normal_,
        torch.Tensor.random_,
        torch.Tensor.uniform_,
    }
)
"""Functions of torch that draw from its global generator, unless they are given another."""


class DrawFrom(TorchFunctionMode):
    """In its block, and in its thread, torch draws from a generator that was seeded, not from the global one.

    The numbers are those that the global generator gives after `torch.manual_seed(seed)`. The global one is shared by
    all threads, so that of two that seed it and draw from it each would spoil the other's numbers.

    Args:
        seed: of 63 bits.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Calls a function of torch; one that draws is given the generator."""
        del types
        if function in DRAWING:
            return function(*args, **{"generator": self._generator, **(kwargs or {})})
        return function(*args, **(kwargs or {}))
