"""Building a network no larger than the file of its tensors, whatever its description says."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from samecar.errors import SamecarError

SPARE: Final = 1 << 27
"""Numbers beyond those of the file that a network may be made with: it loses the classifier that timm gives it."""


@contextmanager
def no_larger_than(numbers: int) -> Iterator[None]:
    """Refuses a network that is built in the block when its parameters have far more numbers than its file.

    Memory that was asked for and is not written to yet costs nothing, and this looks at it before it is written to.

    Raises:
        SamecarError: it has more, or the system does not give the memory.
    """
    left, thread = numbers + SPARE, threading.get_ident()

    def count(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> None:
        nonlocal left
        if parameter is not None and threading.get_ident() == thread:
            left -= parameter.numel()
            if left < 0:
                raise SamecarError(
                    f"the described model has far more numbers than the {numbers:,} of its tensors; take it from its "
                    "run again"
                )

    registered = register_module_parameter_registration_hook(count)
    try:
        yield
    except RuntimeError as error:
        raise SamecarError(f"the described model cannot be built: {str(error).splitlines()[0]}") from error
    finally:
        registered.remove()
