"""Frames on their way from the thread that reads a stream to the one that looks at them: a few, and the newest."""

import threading
from collections import deque

from samecar.films.sources.base import Frame


class Waiting:
    """Holds no more than a few frames; where more come, the oldest one goes.

    Args:
        most: frames that may wait.
    """

    def __init__(self, most: int) -> None:
        self._frames: deque[Frame] = deque()
        self._most = most
        self._changed = threading.Condition()
        self._dropped = 0
        self._ended = False
        self._error: BaseException | None = None

    @property
    def dropped(self) -> int:
        """Frames that went unseen so far."""
        return self._dropped

    def put(self, frame: Frame) -> None:
        """Lets a frame wait."""
        with self._changed:
            if len(self._frames) == self._most:
                self._frames.popleft()
                self._dropped += 1
            self._frames.append(frame)
            self._changed.notify()

    def end(self, error: BaseException | None = None) -> None:
        """Says that no more frames come, and why where that is an error."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify()

    def take(self, seconds: float) -> Frame | None:
        """The frame that has waited longest; None if none comes within so many seconds.

        Raises:
            EOFError: none is left and none will come.
            BaseException: the one that ended them.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._ended, seconds)
            if self._frames:
                return self._frames.popleft()
            if self._error is not None:
                raise self._error
            if self._ended:
                raise EOFError
            return None
