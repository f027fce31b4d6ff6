"""The names and numbers of VeRi-776's colours and types, and the shades of paint that each colour comes in."""

from typing import Final

COLOURS: Final[tuple[str, ...]] = (
    "yellow",
    "orange",
    "green",
    "gray",
    "red",
    "blue",
    "white",
    "golden",
    "brown",
    "black",
)
"""VeRi-776's colours: number 1 is the first."""

TYPES: Final[tuple[str, ...]] = (
    "sedan",
    "suv",
    "van",
    "hatchback",
    "mpv",
    "pickup",
    "bus",
    "truck",
    "estate",
)
"""VeRi-776's types: number 1 is the first."""

COLOUR_WEIGHTS: Final[tuple[float, ...]] = (0.08, 0.05, 0.08, 0.16, 0.12, 0.12, 0.16, 0.05, 0.05, 0.13)
"""How often each colour is drawn where nobody asks for one; rarer ones come more often than on a real road."""

TYPE_WEIGHTS: Final[tuple[float, ...]] = (0.22, 0.15, 0.11, 0.13, 0.08, 0.08, 0.07, 0.09, 0.07)
"""How often each type is drawn where nobody asks for one."""

Shade = tuple[int, int, int]
"""Red, green and blue in 0-255, as a camera without a cast sees the paint in plain light."""

SHADES: Final[dict[str, tuple[Shade, ...]]] = {
    "yellow": ((240, 196, 12), (250, 214, 48), (228, 180, 0)),
    "orange": ((232, 104, 16), (240, 126, 34), (216, 86, 8)),
    "green": ((24, 122, 58), (52, 142, 74), (16, 92, 62)),
    "gray": ((128, 131, 135), (108, 112, 118), (148, 151, 154)),
    "red": ((186, 22, 26), (204, 34, 34), (156, 14, 24)),
    "blue": ((26, 66, 156), (38, 98, 184), (20, 46, 118)),
    "white": ((236, 238, 238), (226, 229, 230), (240, 238, 230)),
    "golden": ((190, 162, 104), (202, 176, 122), (176, 148, 86)),
    "brown": ((96, 60, 36), (112, 72, 46), (82, 48, 30)),
    "black": ((24, 25, 28), (32, 33, 36), (18, 20, 26)),
}
"""The paints that a vehicle of each colour is given."""


def luminance(colour: Shade) -> float:
    """How light a colour looks, 0 to 255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def mix(first: Shade, second: Shade, share: float) -> Shade:
    """The colour between two, ``share`` (0 to 1) of the way from ``first`` to ``second``."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue
