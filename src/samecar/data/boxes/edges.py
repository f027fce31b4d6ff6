"""Which whole pixels of a picture lie in a box."""

import math
from collections.abc import Iterable


def find_pixels(edges: Iterable[float], width: int, height: int) -> tuple[int, int, int, int] | None:
    """Whole pixels of a picture between edges; None if there are none.

    Args:
        edges: left, top, right and bottom in pixels, finite; a half is rounded up.
        width: of the picture.
        height: of the picture.
    """
    left, top, right, bottom = (math.floor(edge + 0.5) for edge in edges)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    return (left, top, right, bottom) if left < right and top < bottom else None
