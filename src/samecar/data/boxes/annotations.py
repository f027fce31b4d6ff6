"""What a file of boxes says, whatever its format."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

NAMES: Final = {
    "vehicle_id": ("vehicleid", "vehicle"),
    "camera_id": ("cameraid", "camera"),
    "track_id": ("trackid",),
    "colour": ("colour", "color"),
}
"""Under which names annotators write what a manifest has columns for; capitals, blanks, _ and - do not count."""


@dataclass(frozen=True)
class Box:
    """A vehicle on a frame.

    Attributes:
        frame: name of the frame's picture, or its number in a film.
        left: of its edges, in pixels from the frame's left one.
        top: in pixels from the frame's upper edge.
        right: in pixels from the frame's left edge.
        bottom: in pixels from the frame's upper edge.
        vehicle_id: "" where nobody says which vehicle it is, as all that follows.
        camera_id: that took the frame.
        track_id: of the vehicle's passage.
        type: of the vehicle, the class of the box.
        colour: of the vehicle.
    """

    frame: str | int
    left: float
    top: float
    right: float
    bottom: float
    vehicle_id: str = ""
    camera_id: str = ""
    track_id: str = ""
    type: str = ""
    colour: str = ""


@dataclass
class Annotations:
    """What a file of boxes holds.

    Attributes:
        boxes: in the file's order.
        sizes: width and height of frames, where the file tells them.
        size: width and height of every frame, if the file tells it once.
        first: number of a film's first frame; None where frames have names.
        left_out: how many boxes are not taken, by the reason.
    """

    boxes: list[Box] = field(default_factory=list)
    sizes: dict[str | int, tuple[int, int]] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    first: int | None = None
    left_out: Counter[str] = field(default_factory=Counter)


def known_labels(attributes: Iterable[tuple[str, Any]]) -> Mapping[str, str]:
    """What annotators' own attributes say of a manifest's columns; whole numbers are names too."""
    columns = {name: column for column, names in NAMES.items() for name in names}
    plain = ((name.lower().translate(str.maketrans("", "", " _-")), value) for name, value in attributes)
    return {
        columns[name]: str(value).strip()
        for name, value in plain
        if name in columns and isinstance(value, str | int) and not isinstance(value, bool)
    }
