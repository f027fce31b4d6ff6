import gc
import tracemalloc

import numpy as np
import pytest
from film_making import ColourDetector, paint_vehicle, road

from samecar.films import Detections, FilmSettings, Frame, FrameSource, passages

SETTINGS = FilmSettings(minimum_size=24, frames_per_second=10)


class Source(FrameSource):
    """Frames as a test gives them; None is a pause."""

    name = stem = "camera"
    seconds, live, dropped, reconnections = 0.0, True, 0, 0

    def __init__(self, frames, notices=()):
        self.given, self.reached, self.warnings = 0, 0.0, []
        self._frames, self._notices = frames, list(notices)

    def spacing(self, rate):
        return 1 / rate

    def frames(self, rate):
        for frame in self._frames:
            if frame is not None:
                self.given, self.reached = self.given + 1, frame.time
            yield frame

    def moment(self, time):
        return 1e9 + time

    def notices(self):
        told, self._notices = self._notices, []
        return told


def moving(first, count, step=8, height=120, width=240, left=20):
    frames = []
    for place in range(count):
        picture = road(height, width)
        paint_vehicle(picture, "car", left + step * place, 40)
        frames.append(Frame((first + place) / 10, picture))
    return frames


def test_a_pause_ends_the_passages_that_are_under_way():
    """The same car goes on in the same place after the pause, and yet is another passage."""
    source = Source([*moving(0, 8), None, *moving(8, 8, left=84)])
    found = [(source.given, passage.number) for passage in passages(source, ColourDetector(), SETTINGS)]
    assert found == [(8, 1), (16, 2)]


def test_without_a_pause_it_is_one():
    assert len(list(passages(Source([*moving(0, 8), *moving(8, 8, left=84)]), ColourDetector(), SETTINGS))) == 1


def test_another_size_ends_the_passages_that_are_under_way():
    source = Source([*moving(0, 8), *moving(8, 8, height=160, width=320, left=84)])
    assert [passage.number for passage in passages(source, ColourDetector(), SETTINGS)] == [1, 2]


def test_what_happens_to_a_stream_is_told():
    told = []
    list(passages(Source(moving(0, 3), ["lost"]), ColourDetector(), SETTINGS, notify=told.append))
    assert told == ["lost"]


class ByTime:
    """Sees a car that never leaves, and one after the other that passes within two seconds."""

    def __init__(self):
        self.frame = 0

    def detect(self, picture, least):
        across = 10 + 10 * (self.frame % 20)
        self.frame += 1
        boxes = np.array([[100, 80, 140, 110], [across, 10, across + 40, 40]], np.float32)
        return Detections(boxes, np.full(2, 0.9, np.float32), ("truck", "car"))


@pytest.mark.long
@pytest.mark.slow
def test_memory_does_not_grow_with_the_hours():
    """What 1,000 more frames with 50 more vehicles leave behind, after each of five such hours in small."""

    def frames():
        for place in range(6000):
            yield Frame(place / 10, road())

    source, sizes, found = Source(frames()), [], 0
    tracemalloc.start()
    try:
        for _ in passages(source, ByTime(), SETTINGS):
            found += 1
            if found % 50 == 0:
                gc.collect()
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert found > 250
    assert max(sizes[1:]) - sizes[0] < 100_000  # a crop has some 4,000 bytes, a frame 86,400
