"""Numbers as people write them; Python also takes `1_000`, digits of other scripts and `nan`."""

import math


def read_whole_number(text: str) -> int:
    """Reads a whole number.

    Raises:
        ValueError: it is none.
    """
    return int(_plain(text))


def read_number(text: str) -> float:
    """Reads a number.

    Raises:
        ValueError: it is none, or not finite.
    """
    number = float(_plain(text))
    if not math.isfinite(number):
        raise ValueError(f"not a finite number: {text!r}")
    return number


def _plain(text: str) -> str:
    if "_" in text or not text.isascii():
        raise ValueError(f"not a number: {text!r}")
    return text
