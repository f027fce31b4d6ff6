"""Patterns of file names that can be read in more than one way."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

Reading = Sequence[Mapping[str, str]]
"""The labels of each picture by one way of reading its name, by field."""

FEWEST: Final = 4
"""Of fewer pictures nothing is said: whatever their labels are is plausible."""

MOST_STARS: Final = 3
"""Further parts of a name that a proposed pattern may pass over."""

Read = Callable[[str, str], Reading | None]
"""Reads all names by a pattern, given the field that takes as much as it can; None where one does not match."""


def second_reading(pattern: str, names: Sequence[str], taken: Reading, read: Read) -> str | None:
    """A sentence with both readings where a pattern can be read in two ways and the other one may be what was meant.

    Args:
        pattern: of the file names.
        names: of the files that match it.
        taken: what was read of each.
        read: reads the names otherwise.
    """
    fields = [field for field in ("camera_id", "time", "track_id") if f"{{{field}}}" in pattern]
    if "{vehicle_id}" not in pattern or len(names) < FEWEST:
        return None
    others = [reading for field in ("", *fields) if (reading := read(pattern, field)) is not None and reading != taken]
    if not others:
        return None
    likely = [reading for reading in others if _is_plausible(reading)]
    if not likely and _is_plausible(taken):
        return None
    other = (likely or others)[0]
    row = next(row for row in range(len(names)) if other[row] != taken[row])
    sentence = (
        f"pattern {pattern!r} can be read in two ways: {names[row]!r} is taken as {_words(taken, row)}, but may be "
        f"{_words(other, row)}"
    )
    way = _clear_pattern(pattern, other, read)
    return f"{sentence}; write {way!r}" if way else f"{sentence}; give a pattern with as many parts as the names have"


def _is_plausible(reading: Reading) -> bool:
    """Whether several cameras saw several vehicles, and more than one picture came of each.

    Where vehicles have numbers, a word without one, such as 'car', is no vehicle.
    """
    vehicles = {labels["vehicle_id"] for labels in reading}
    numbered = any(re.search(r"\d", vehicle) for vehicle in vehicles)
    if not numbered or not 1 < len(vehicles) < len(reading):
        return False
    cameras = {labels["camera_id"] for labels in reading if "camera_id" in labels}
    return not cameras or 1 < len(cameras) <= len(reading) / 2


def _words(reading: Reading, row: int) -> str:
    labels = ", ".join(f"{field} {value!r}" for field, value in reading[row].items() if field != "split")
    counts = [f"{len({labels['vehicle_id'] for labels in reading}):,} vehicles"]
    if "camera_id" in reading[row]:
        counts.append(f"{len({labels['camera_id'] for labels in reading}):,} cameras")
    return f"{labels} ({', '.join(counts)} in all)"


def _clear_pattern(pattern: str, other: Reading, read: Read) -> str | None:
    """A pattern with more parts that reads the same vehicles and cameras, or plausible ones if those are none."""
    stem, dot, suffix = pattern.rpartition(".")
    for sign in (sign for sign in "_-. " if sign in stem):
        for stars in range(1, MOST_STARS + 1):
            clear = f"{stem}{f'{sign}*' * stars}{dot}{suffix}"
            reading = read(clear, "vehicle_id")
            if reading is None or not _is_plausible(reading):
                continue
            if _identities(reading) == _identities(other) or not _is_plausible(other):
                return clear
    return None


def _identities(reading: Reading) -> list[tuple[str, str | None]]:
    return [(labels["vehicle_id"], labels.get("camera_id")) for labels in reading]
