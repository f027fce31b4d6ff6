"""How large each trial is unless it is shortened, and what is counted."""

from typing import Final

SIZES: Final = {
    "kills": (200, "kills of trainings"),
    "power-cuts": (50, "power cuts of trainings"),
    "pictures": (100_000, "damaged pictures"),
    "lines": (1_000_000, "hostile lines"),
    "clients": (600, "seconds of 32 clients"),
}
