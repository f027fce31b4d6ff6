"""A camera's stream: read in a thread of its own, found again when it is lost, never further behind than a few frames.

Times are the wall clock's. What a stream says of its own frames only tells how far they are apart: a camera's clock may
be wrong, and a network delivers frames in bursts.
"""

import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from time import time as wall_clock

from samecar.addresses import check_address, shown_address
from samecar.errors import SamecarError
from samecar.films.live.connection import Connection
from samecar.films.live.timing import SteadyChooser, StreamClock
from samecar.films.live.waiting import Waiting
from samecar.films.sources.base import Frame, FrameSource

SCHEMES = ("rtsp", "rtsps", "http", "https")

SILENCE = 1.0
"""Seconds without a frame after which vehicles count as gone."""

STEADY = 10.0
"""Seconds that a connection must have lasted for the pauses to begin anew."""

TOLD_EVERY = 60.0
"""Seconds from one notice of frames that were left out to the next."""

LAST_SECONDS = 1.0
"""How long the end waits for the reading thread; a silent stream may keep it longer, and nobody needs it any more."""


@dataclass(frozen=True)
class StreamSettings:
    """How a stream is read.

    Attributes:
        silent_seconds: how long it may send nothing before it counts as lost.
        first_pause: seconds before a lost stream is looked for; each further pause is twice as long.
        longest_pause: the longest one.
        waiting: frames that may wait to be looked at; more are left out, the oldest first.
    """

    silent_seconds: float = 10.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    waiting: int = 4


DEFAULT_SETTINGS = StreamSettings()


class Stream(FrameSource):
    """A camera's stream that is being watched; `open_stream` opens one.

    Args:
        address: of the camera.
        threads: that decode it; None leaves their number to the decoder.
        settings: how it is read.

    Attributes:
        name: scheme, host and port of the address; the rest may hold a password.
        reconnections: how often it was found again after it was lost.
    """

    live = True
    seconds = 0.0

    def __init__(self, address: str, threads: int | None = None, settings: StreamSettings = DEFAULT_SETTINGS) -> None:
        check_address(address, SCHEMES, "a camera")
        self.name = shown_address(address)
        self.stem = re.sub(r"[^\w.-]+", "-", self.name.partition("://")[2])
        self.given = 0
        self.reached = 0.0
        self.reconnections = 0
        self.warnings: list[str] = []
        self._address, self._threads, self._settings = address, threads, settings
        self._began = monotonic()
        self._stopping = threading.Event()
        self._waiting = Waiting(settings.waiting)
        self._notices: deque[str] = deque(maxlen=100)
        self._told, self._told_dropped, self._told_given = self._began, 0, 0
        self._clock = StreamClock()
        self._connection: Connection | None = self._connect()
        self._spacing = self._connection.spacing
        self._reading: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Frames that were left out, as finding vehicles takes too long."""
        return self._waiting.dropped

    def spacing(self, rate: float) -> float:
        """Seconds that commonly lie between two of the frames that are given at a rate."""
        return max(1 / rate, self._spacing)

    def moment(self, time: float) -> float | None:
        """Seconds since 1970-01-01 UTC at a frame's time, by the clock of this machine as it is set now."""
        return wall_clock() - (self._now() - time)

    def stop(self) -> None:
        """Ends the frames: those that wait are still given."""
        self._stopping.set()

    def close(self) -> None:
        """Ends the reading, and lets go of the connection."""
        self.stop()
        if self._reading is not None:
            self._reading.join(LAST_SECONDS)
        elif self._connection is not None:
            self._connection.close()

    def notices(self) -> list[str]:
        """What has happened to the connection, and once a minute how many frames were left out."""
        self._note_dropped()
        told = []
        while self._notices:
            told.append(self._notices.popleft())
        return told

    def frames(self, rate: float) -> Iterator[Frame | None]:
        """Frames at `rate` a second, until `stop` is called; None where none came for a while.

        Raises:
            SamecarError: frames are too large, or take too much work to decode.
        """
        silence = max(SILENCE, 2 * self.spacing(rate))
        self._reading = threading.Thread(target=self._read, args=(rate,), name="stream", daemon=True)
        self._reading.start()
        try:
            last = self._now()
            while True:
                frame = self._waiting.take(min(silence, SILENCE))
                if frame is not None:
                    last = self._now()
                    self.given, self.reached = self.given + 1, frame.time
                    yield frame
                elif self._stopping.is_set():
                    return
                elif self._now() - last >= silence:
                    last = self._now()
                    yield None
        except EOFError:
            return
        finally:
            self.stop()

    def _now(self) -> float:
        return monotonic() - self._began

    def _note_dropped(self) -> None:
        now = monotonic()
        if now - self._told < TOLD_EVERY:
            return
        dropped, given = self.dropped - self._told_dropped, self.given - self._told_given
        if dropped:
            self._notices.append(
                f"{self.name}: {dropped:,} of {dropped + given:,} frames were left out in the last "
                f"{now - self._told:.0f} seconds, as finding vehicles takes longer than frames come; look at fewer "
                "(--frames-per-second) or take a smaller detector"
            )
        self._told, self._told_dropped, self._told_given = now, self.dropped, self.given

    # --- in the thread that reads ---

    def _read(self, rate: float) -> None:
        """Reads until it is told to stop; a lost stream is looked for again."""
        connection, pause, error = self._connection, self._settings.first_pause, None
        try:
            while connection is not None:
                since = self._now()
                self._read_connection(connection, rate)
                if self._stopping.is_set():
                    return
                self._notices.append(f"{self.name}: the connection was lost; it is looked for again")
                if self._now() - since >= STEADY:
                    pause = self._settings.first_pause
                connection, pause = self._find_again(pause)
        except BaseException as failure:  # whatever it is, the other thread must not wait for ever
            error = failure
        finally:
            self._waiting.end(error)

    def _read_connection(self, connection: Connection, rate: float) -> None:
        """Reads until the connection ends."""
        self._clock.set_anew()
        chooser = SteadyChooser(rate)
        try:
            for decoded in connection.footage.whole_frames():
                if self._stopping.is_set():
                    return
                at = self._clock.read(connection.stamp(decoded), self._now())
                if chooser.wants(at):
                    self._waiting.put(Frame(at, connection.footage.upright(decoded)))
        finally:
            connection.close()

    def _find_again(self, pause: float) -> tuple[Connection | None, float]:
        """The connection, when it can be made again, and the next pause; no connection where the end came first."""
        lost = self._now()
        while not self._stopping.wait(pause):
            pause = min(2 * pause, self._settings.longest_pause)
            try:
                connection = self._connect()
            except SamecarError:
                continue
            self.reconnections += 1
            self._notices.append(f"{self.name}: found again after {self._now() - lost:.0f} seconds")
            return connection, pause
        return None, pause

    def _connect(self) -> Connection:
        return Connection(self._address, self.name, self._threads, self._settings.silent_seconds)


@contextmanager
def open_stream(
    address: str, threads: int | None = None, settings: StreamSettings = DEFAULT_SETTINGS
) -> Iterator[Stream]:
    """Watches a camera for the block.

    Args:
        address: rtsp://… or http://…, with name and password where the camera asks for them.
        threads: that decode it; None leaves their number to the decoder.
        settings: how it is read.

    Raises:
        SamecarError: the address is none of a camera, or gives no stream now.
    """
    stream = Stream(address, threads, settings)
    try:
        yield stream
    finally:
        stream.close()
