"""Where a model runs."""

import torch

from samecar.errors import SamecarError


def find_device(name: str = "auto") -> torch.device:
    """The device of a name; 'auto' is the GPU where there is one.

    Raises:
        SamecarError: a GPU is asked for and there is none, or the name means nothing.
    """
    if name not in {"auto", "cpu", "cuda"}:
        raise SamecarError(f"device is {name!r}; it can be auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise SamecarError("device is 'cuda' but torch finds no GPU here; use auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
