"""Boxes in MOTChallenge's text files."""

from pathlib import Path
from typing import Final

from samecar.data.boxes.annotations import Annotations, Box
from samecar.data.sources.listings import read_lines
from samecar.errors import SamecarError
from samecar.numerals import read_number

FORM: Final = "FRAME,ID,LEFT,TOP,WIDTH,HEIGHT and, if known, CONFIDENCE,CLASS, as in 1,7,912,484,97,109,1,3"


def read_mot(path: Path) -> Annotations:
    """Reads a file such as `gt/gt.txt`, a line `FRAME,ID,LEFT,TOP,WIDTH,HEIGHT,…` for each box.

    Frames are counted from 1. The id is that of the track; -1 is none. Lines whose seventh value is 0 are not to be
    counted and are left out. The eighth value, the number of a class, is the type where it is above 0.

    Raises:
        SamecarError: a line is not of that form.
    """
    found = Annotations(first=1)
    for line in read_lines(path):
        values = [value.strip() for value in line.split("," if "," in line else None)]
        box = _box(values)
        if box is None:
            raise SamecarError(f"{path} has the line {line!r}; each line of boxes must be {FORM}")
        if len(values) > 6 and float(values[6]) == 0:
            found.left_out["are not to be counted (their seventh value is 0)"] += 1
        else:
            found.boxes.append(box)
    return found


def _box(values: list[str]) -> Box | None:
    try:
        numbers = [read_number(value) for value in values[:8]]
    except ValueError:
        return None
    if len(numbers) < 6 or any(number % 1 for number in numbers[:2]):
        return None
    frame, track, left, top, width, height = numbers[:6]
    return Box(
        int(frame),
        left,
        top,
        left + width,
        top + height,
        track_id=str(int(track)) if track >= 0 else "",
        type=f"{numbers[7]:g}" if len(numbers) > 7 and numbers[7] > 0 else "",
    )
