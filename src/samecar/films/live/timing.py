"""When a stream's frames were taken, and which of them are looked at."""

LATE = 2.0
"""Seconds by which a frame may come later than its stream's own clock says; then that clock is set anew."""

EARLY = 0.25
"""The same of frames that come earlier, as those do all at once that a camera had kept when it is connected."""

LEAST_STEP = 1e-3
"""Seconds that lie between two frames at least."""


class StreamClock:
    """Times of a stream's frames, in seconds since it was begun.

    They are apart as the stream says, no more than `EARLY` and `LATE` away from when they came. Where the stream says
    nothing, they are when they came. They always rise.
    """

    def __init__(self) -> None:
        self._ahead: float | None = None  # of the stream's own clock, to get to ours
        self._last = float("-inf")

    def set_anew(self) -> None:
        """Forgets the stream's own clock: another connection may count otherwise."""
        self._ahead = None

    def read(self, stamp: float | None, arrival: float) -> float:
        """The time of a frame.

        Args:
            stamp: in seconds on the stream's own clock; None where it has none.
            arrival: when it came.
        """
        if stamp is None:
            found = arrival
        else:
            if self._ahead is None or not -EARLY <= arrival - stamp - self._ahead <= LATE:
                self._ahead = arrival - stamp
            found = stamp + self._ahead
        self._last = max(found, self._last + LEAST_STEP)
        return self._last


class SteadyChooser:
    """Chooses frames that come at uneven times, so many a second where there are more.

    Args:
        rate: frames a second.
    """

    EARLY = 0.25
    """Share of the time between two wanted frames by which one may come too early."""

    def __init__(self, rate: float) -> None:
        self._step = 1 / rate
        self._due = float("-inf")

    def wants(self, time: float) -> bool:
        """Whether a frame is due at this time."""
        if time < self._due - self.EARLY * self._step:
            return False
        late = time - self._due > self._step
        self._due = (time if late else self._due) + self._step
        return True
