"""What every source of frames is: the contract that films, folders of frames and live streams fulfil."""

import math
from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-3
"""Share of the time between two wanted frames by which a frame may come too early: timestamps are rounded."""


class Frame(NamedTuple):
    """A frame of a film.

    Attributes:
        time: seconds since the film began.
        picture: (height, width, 3) uint8, red, green, blue, upright.
    """

    time: float
    picture: NDArray[np.uint8]


@runtime_checkable
class FrameSource(Protocol):
    """Gives frames, one after the other.

    Attributes:
        name: what sightings and reports call it; never holds a password.
        stem: begins the names of its tracks and of their crops' files.
        seconds: how long it is; 0 where that is not known.
        given: number of frames that were given.
        reached: time of the last frame that was read.
        reconnections: how often a stream was found again after it was lost.
        live: whether it has no end of its own.
        warnings: a sentence for each thing that could not be read, complete when the frames have been read.
    """

    name: str
    stem: str
    seconds: float
    given: int
    reached: float
    reconnections: int
    live: bool
    warnings: list[str]

    @property
    def dropped(self) -> int:
        """Number of frames that were left out because finding vehicles takes too long."""
        ...

    def spacing(self, rate: float) -> float:
        """Seconds that commonly lie between two of the frames that are given at a rate."""
        ...

    def frames(self, rate: float) -> Iterator[Frame | None]:
        """Frames at `rate` a second or, where there are fewer, all of them.

        None stands for a pause of a live stream, so that what has passed need not wait for the next frame.
        """
        ...

    def moment(self, time: float) -> float | None:
        """Seconds since 1970-01-01 UTC at a frame's time; None where nobody said when it was taken."""
        ...

    def notices(self) -> list[str]:
        """A sentence for each thing that has happened since they were asked for last, such as a lost connection."""
        ...


class Chooser:
    """Chooses frames by their time, so many a second where there are more.

    Args:
        rate: frames a second.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._last = -1

    def wants(self, time: float) -> bool:
        """Whether the frame of this time is the first one of its share of a second."""
        place = math.floor(time * self._rate + ROUNDING)
        wanted = place > self._last
        self._last = max(place, self._last)
        return wanted
