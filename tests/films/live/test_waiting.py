import threading
import time

import numpy as np
import pytest

from samecar.films.live.waiting import Waiting
from samecar.films.sources.base import Frame


def frame(time):
    return Frame(time, np.zeros((2, 2, 3), np.uint8))


def test_the_newest_frames_stay_and_the_others_are_counted():
    waiting = Waiting(3)
    for number in range(10):
        waiting.put(frame(number))
    assert [waiting.take(0).time for _ in range(3)] == [7, 8, 9]
    assert waiting.dropped == 7
    assert waiting.take(0) is None


def test_who_takes_waits_for_a_frame():
    waiting = Waiting(3)
    threading.Timer(0.1, lambda: waiting.put(frame(1))).start()
    began = time.monotonic()
    assert waiting.take(5).time == 1
    assert time.monotonic() - began < 4


def test_the_end_comes_behind_the_frames_that_wait():
    waiting = Waiting(3)
    waiting.put(frame(1))
    waiting.end()
    assert waiting.take(0).time == 1
    with pytest.raises(EOFError):
        waiting.take(0)


def test_an_error_of_the_reader_is_that_of_who_takes():
    waiting = Waiting(3)
    waiting.end(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        waiting.take(0)
