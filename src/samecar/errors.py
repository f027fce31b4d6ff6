"""The error that a user can cause and can mend."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

EXTRAS = {
    "av": "films",
    "huggingface_hub": "hub",
    "imagehash": "train",
    "matplotlib": "train",
    "onnx": "export",
    "pytorch_metric_learning": "train",
    "safetensors": "train",
    "scipy": "train",
    "tensorboard": "train",
    "timm": "train",
    "torch": "train",
    "torchvision": "train",
}
"""Libraries that the installation without extras lacks, as they are imported, and what brings them."""


class SamecarError(Exception):
    """Bad input, said in one sentence.

    The sentence names the file or option, what was given, what is allowed, and what to do. The command line prints it
    without a traceback and exits with status 2.
    """


def first_few(names: Iterable[str], count: int = 3) -> str:
    """The first names, joined, and how many more there are."""
    every = list(names)
    rest = f" and {len(every) - count:,} more" if len(every) > count else ""
    return ", ".join(every[:count]) + rest


def missing_library(purpose: str, library: str, extra: str | None) -> SamecarError:
    """The error that says which library is not installed, and how to install it.

    samecar is on no package index, so the command is one for a copy of the repository.

    Args:
        purpose: What needs the library, with its verb, such as "films need".
        library: What is missing, such as "PyAV".
        extra: The extra of samecar that brings the library; None where the installation without extras does.
    """
    command = f'pip install ".[{extra}]"' if extra else "pip install ."
    return SamecarError(
        f"{purpose} {library}, which is not installed; run `{command}` in the copy of samecar's repository"
    )


@contextmanager
def naming_extra(purpose: str) -> Iterator[None]:
    """Says in one sentence which library of `EXTRAS` the block lacks, and how to install it.

    Args:
        purpose: What needs the library, with its verb, such as "training needs".

    Raises:
        SamecarError: one is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        raise missing_library(purpose, library, EXTRAS[library]) from error


def check_seed(seed: int) -> int:
    """Gives a seed of random numbers.

    Raises:
        SamecarError: it is negative.
    """
    if seed < 0:
        raise SamecarError(f"seed is {seed}; give a whole number, 0 or more")
    return seed
