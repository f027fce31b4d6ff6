"""What a detector's classes are called, and which of them count as vehicles."""

import ast
import os
from collections.abc import Sequence
from pathlib import Path

from samecar.errors import SamecarError, first_few
from samecar.files import read_whole

# fmt: off
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear",
    "hair drier", "toothbrush",
)
# fmt: on
"""The 80 classes of COCO, in the order in which detectors number them."""

COCO_VEHICLES = ("bicycle", "car", "motorcycle", "bus", "train", "truck")
"""Those that errors name."""

DEFAULT_CLASSES = ("car", "motorcycle", "bus", "truck")
"""What counts as a vehicle unless the user says otherwise."""

FROM_COCO = "coco"
"""Says that a detector's classes are COCO's."""


def read_names(text: str) -> tuple[str, ...]:
    """The names of a detector's classes, as a user gives them.

    Args:
        text: `coco`, names parted by commas, or the path of a text file with a name a line; in the order of the
            detector's numbers.

    Raises:
        SamecarError: there are no names, or one comes twice.
    """
    if text == FROM_COCO:
        return COCO
    path = Path(text)
    if os.path.isfile(text):  # noqa: PTH113 - of many names, too long for a file's, `Path` raises an error
        try:
            names = read_whole(path).decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise SamecarError(f"class names {path} are not UTF-8; save the file as UTF-8") from error
    else:
        names = text.split(",")
    names = [name.strip() for name in names]
    while names and not names[-1]:
        names.pop()
    if not names or "" in names or len(set(names)) < len(names):
        raise SamecarError(
            f"class names are {text!r}; give coco, different names parted by commas, or a file with a name a line, in "
            "the order of the detector's numbers"
        )
    return tuple(names)


def names_in_metadata(text: str | None) -> tuple[str, ...] | None:
    """The names that a file's metadata tell under `names`, as `{0: 'car', 1: 'bus'}` or `['car', 'bus']`.

    Returns:
        None where there are none, or where they are written otherwise.
    """
    if not text:
        return None
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if isinstance(found, list):
        found = dict(enumerate(found))
    if not isinstance(found, dict) or sorted(map(str, found)) != sorted(map(str, range(len(found)))):
        return None
    return tuple(str(found.get(number, found.get(str(number)))) for number in range(len(found)))


def choose_numbers(asked: Sequence[str], names: Sequence[str] | None, count: int | None, detector: str) -> list[int]:
    """The numbers of classes that count as vehicles.

    Args:
        asked: names or numbers, as the user gave them.
        names: of the detector's classes; None where nobody knows. Those of 80 classes are then COCO's.
        count: how many classes there are; None where that is not known either.
        detector: what errors call it.

    Raises:
        SamecarError: the detector has no such class, or not as many as there are names.
    """
    if names is None and count == len(COCO):
        names = COCO
    if names is not None and count is not None and len(names) != count:
        raise SamecarError(
            f"class names are {len(names)}, and detector {detector} has {count} classes; name each of them"
        )
    return [_number(text, names, count if names is None else len(names), detector) for text in asked]


def _number(text: str, names: Sequence[str] | None, count: int | None, detector: str) -> int:
    if text.isdecimal() and (count is None or int(text) < count):
        return int(text)
    if names is not None and text in names:
        return list(names).index(text)
    if count is None:
        raise SamecarError(
            f"--classes {text!r} is not known to detector {detector}, which does not say what its classes are called; "
            "say --class-names coco if it was trained on COCO, name them in their order, or give their numbers, from 0"
        )
    known = "" if names is None else f"{', '.join(COCO_VEHICLES) if tuple(names) == COCO else first_few(names, 10)} or "
    raise SamecarError(
        f"--classes {text!r} is not a class of detector {detector}; it knows {known}numbers from 0 to {count - 1}"
    )
