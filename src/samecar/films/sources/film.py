"""Reading films: upright frames at a steady rate, whatever the container, the frame rate and the state of the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from samecar.errors import SamecarError
from samecar.files import as_path
from samecar.films.sources.base import Chooser, Frame, FrameSource
from samecar.films.sources.footage import ASSUMED_RATE, PLAYLISTS, Footage, pyav

MISSING_SHARE = 0.05
"""A film that ends earlier than it declares by more than this share counts as truncated; less is rounding."""

RESTART = 1.0
"""Seconds by which a film's clock must be set back to count as started anew; less is frames out of order."""

LATE_FRAMES = 4
"""Frames by which the first one that can be decoded may come after the film's start; more mean that some are lost."""


class Film(FrameSource):
    """A film that is open.

    Args:
        path: the file.
        container: PyAV's.
        threads: that decode it; None leaves their number to the decoder.
        start: when it begins, in seconds since 1970-01-01 UTC; None where nobody knows.

    Attributes:
        path: the file.
        seconds: how long it is as its file declares; 0 where it does not.
        given: number of frames that were given.
        reached: time of the last frame that was decoded.
        warnings: a sentence for each thing that could not be read, complete when the frames have been read.
    """

    live = False
    dropped = reconnections = 0

    def __init__(self, path: Path, container: Any, threads: int | None = None, start: float | None = None) -> None:
        self.path = path
        self.name, self.stem = path.name, path.stem
        self.given = 0
        self.reached = 0.0
        self._start = start
        self._footage = Footage(f"film {path}", container, threads)
        self.warnings = self._footage.warnings
        self.seconds = self._footage.seconds
        self._frame_seconds = 1 / self._rate()

    def spacing(self, rate: float) -> float:
        """Seconds that commonly lie between two of the frames that are given at a rate."""
        return max(1 / rate, self._frame_seconds)

    def moment(self, time: float) -> float | None:
        """Seconds since 1970-01-01 UTC at a frame's time, by the film's beginning."""
        return None if self._start is None else self._start + time

    def notices(self) -> list[str]:
        """None: a film is read to its end."""
        return []

    def frames(self, rate: float) -> Iterator[Frame]:
        """Frames at `rate` a second or, where the film has fewer, all of them, chosen by their time.

        A frame of an interlaced film shows one moment.

        Raises:
            SamecarError: not one frame can be decoded.
        """
        chooser = Chooser(rate)
        restarts = 0
        begin: float | None = None  # what the film's clock showed at time 0
        for decoded, stamp in self._footage.stamped(self._footage.whole_frames()):
            begin = self._find_begin(stamp) if begin is None else begin
            if stamp - begin < self.reached - RESTART:
                restarts += 1
                begin = stamp - self.reached - self._frame_seconds
            self.reached = max(self.reached, stamp - begin)
            if chooser.wants(self.reached):
                self.given += 1
                yield Frame(self.reached, self._footage.upright(decoded))
        if restarts:
            self.warnings.append(
                f"film {self.path} is put together: its clock is set back {restarts} times, so times after that are "
                "counted on from the frame before and may be wrong"
            )
        if begin is None:
            raise SamecarError(f"film {self.path} holds no frame that can be decoded; give another copy of it")
        if self.seconds and self.reached < self.seconds * (1 - MISSING_SHARE) - 1 / rate:
            self.warnings.append(
                f"film {self.path} is truncated: it ends after {self.reached:.1f} of {self.seconds:.1f} seconds"
            )

    def _find_begin(self, first: float) -> float:
        """What the film's clock shows at time 0, given what it shows at the first frame that can be decoded."""
        began = self._footage.begin
        if began is None:
            return first
        lost = first - began
        if lost <= LATE_FRAMES * self._frame_seconds:
            return first
        self.warnings.append(f"film {self.path}: its first {lost:.1f} seconds cannot be decoded and are left out")
        return began

    def _rate(self) -> float:
        """Frames a second; what the film does not declare is assumed, with a warning."""
        if self._footage.rate is not None:
            return self._footage.rate
        self.warnings.append(
            f"film {self.path} does not say when its frames were taken: {ASSUMED_RATE:g} a second are assumed, and "
            "times are wrong if they are not; put it into a container with its rate (ffmpeg -framerate RATE -i "
            f"{self.path.name} -c copy film.mp4)"
        )
        return ASSUMED_RATE


@contextmanager
def open_film(path: str | Path, threads: int | None = None, start: float | None = None) -> Iterator[Film]:
    """Opens a film for the block.

    Args:
        path: of the film.
        threads: that decode it; None leaves their number to the decoder.
        start: when it begins, in seconds since 1970-01-01 UTC; None where nobody knows.

    Raises:
        SamecarError: the file is missing, no film but a list of others, has no video stream or too large frames.
    """
    av = pyav()
    path = as_path(path, "film")
    if not path.is_file():
        raise SamecarError(f"film {path} is not there; give the path of a file such as MP4, AVI or Matroska")
    try:
        container = av.open(  # absolute, so that no colon in a name reads as a protocol
            str(path.resolve()),
            options={"format_whitelist": ",".join(sorted(av.formats_available - PLAYLISTS))},
        )
    except (av.error.FFmpegError, OSError) as error:
        reason = (error.strerror or str(error)).lower()
        raise SamecarError(
            f"film {path} cannot be opened: {reason}; it is no film, only a list of films, or its beginning or end is "
            "missing: give another copy of it"
        ) from error
    with container:
        yield Film(path, container, threads, start)
