"""Compares what is added to a gallery with its watch list: each passage raises one event at most."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from samecar.calibration import Calibration
from samecar.errors import SamecarError
from samecar.retrieval.gallery import RECENT_SECONDS, WATCH_FILE, Gallery
from samecar.retrieval.records import Addition, Sighting
from samecar.watching.events import Event, Tell
from samecar.watching.watch_list import WatchList, parse_watch_list, refuse_uncalibrated

Value = TypeVar("Value")

REMEMBERED = 10_000
"""Passages that raised an event lately, and raise none again."""


class Seen(NamedTuple):
    """What a watch list says of a picture.

    Attributes:
        picture: number of the most similar picture in the list.
        similarity: to it.
        is_seen: whether it reaches the threshold.
    """

    picture: int
    similarity: float
    is_seen: bool


def compare_with_list(embeddings: NDArray[np.float32], watched: NDArray[np.float32], threshold: float) -> list[Seen]:
    """What a watch list says of each picture.

    Args:
        embeddings: (pictures, size) of length one.
        watched: (watched pictures, size) of length one, one or more.
        threshold: similarity from which a vehicle counts as seen, for as many watched pictures.
    """
    similarities = embeddings @ watched.T  # (pictures, watched pictures)
    best = similarities.argmax(axis=1)
    found = similarities[np.arange(len(embeddings)), best]
    return [Seen(place, value, value >= threshold) for place, value in zip(best.tolist(), found.tolist(), strict=True)]


def list_threshold(calibration: Calibration, watch_list: WatchList) -> tuple[float, float]:
    """The similarity from which a vehicle of a list counts as seen, and the stated rate of false alarms."""
    rate = watch_list.false_alarm_rate or calibration.false_alarm_rate
    return calibration.open_set_threshold(len(watch_list.pictures), rate), rate


class Watcher:
    """Compares what is added with the watch list; an observer of the gallery.

    Args:
        gallery: whose list it is; it is read again every few seconds, since other processes may change it.
        send: are told of each event.
        warn: is told if the list cannot be read; the work goes on without it.
        same_passage_seconds: pictures without a track, by one camera and at most so far apart, are one passage.
    """

    def __init__(
        self, gallery: Gallery, send: Sequence[Callable[[Event], object]], warn: Tell, same_passage_seconds: float
    ) -> None:
        self._gallery, self._send, self._warn = gallery, send, warn
        self._apart = same_passage_seconds
        self._lock = Lock()
        self._list: tuple[float, bytes | None, WatchList, NDArray[np.float32] | None] | None = None
        self._warned = ""
        self._passages: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._last: OrderedDict[tuple[str, str], float] = OrderedDict()  # by camera and vehicle

    def __call__(self, added: Sequence[tuple[int, Addition]]) -> None:
        """Tells of vehicles of the list among what was added."""
        if not added:
            return
        with self._lock:
            try:
                watch_list, matrix = self._read_list()
                if matrix is None:
                    return
                refuse_uncalibrated(self._gallery)
                calibration = self._gallery.calibration
                assert calibration is not None
            except SamecarError as error:  # what was added is kept, and whatever else is added too
                self._warn_once(f"the watch list waits: {error}")
                return
            self._warned = ""
            threshold, rate = list_threshold(calibration, watch_list)
            events = self._find(added, watch_list, matrix, threshold, rate)
        for event in events:
            for send in self._send:
                send(event)

    def _find(
        self,
        added: Sequence[tuple[int, Addition]],
        watch_list: WatchList,
        matrix: NDArray[np.float32],
        threshold: float,
        rate: float,
    ) -> list[Event]:
        """The events of what was added, by the numbers of entries; of a passage the picture that is most alike."""
        seen = compare_with_list(np.stack([addition.embedding for _, addition in added]), matrix, threshold)
        found = [(answer, *pair) for answer, pair in zip(seen, added, strict=True) if answer.is_seen]
        events = []
        for answer, number, addition in sorted(found, key=lambda one: -one[0].similarity):
            picture, sighting = watch_list.pictures[answer.picture], addition.sighting
            if not self._is_new(sighting, picture.vehicle):
                continue
            events.append(
                Event(
                    vehicle=picture.vehicle,
                    picture=picture.file,
                    gallery=self._gallery.name,
                    entry=number,
                    content=sighting.content,
                    camera_id=sighting.camera_id,
                    time=sighting.time,
                    track_id=sighting.track_id,
                    address=sighting.address,
                    labels=dict(sighting.labels),
                    similarity=answer.similarity,
                    threshold=threshold,
                    false_alarm_rate=rate,
                    watched=len(watch_list.pictures),
                )
            )
        return sorted(events, key=lambda event: event.entry)

    def _is_new(self, sighting: Sighting, vehicle: str) -> bool:
        """Whether its passage raised no event yet; from now on it has."""
        if sighting.track_id:
            return _remember(self._passages, (sighting.camera_id, sighting.track_id), None)
        if sighting.time is None:
            return True
        key = sighting.camera_id, vehicle
        before = self._last.get(key)
        _remember(self._last, key, sighting.time)
        return before is None or abs(sighting.time - before) > self._apart

    def _read_list(self) -> tuple[WatchList, NDArray[np.float32] | None]:
        """The list, as of a few seconds ago at most, and its embeddings; None of these where it is empty."""
        known = self._list
        if known is None or time.monotonic() - known[0] > RECENT_SECONDS:
            content = self._gallery.engine.attached(WATCH_FILE)
            if known is not None and content == known[1]:
                self._list = time.monotonic(), *known[1:]
            else:
                watch_list = parse_watch_list(content, self._gallery.facts.model)
                self._list = time.monotonic(), content, watch_list, watch_list.matrix if watch_list.pictures else None
        assert self._list is not None
        return self._list[2:]

    def _warn_once(self, sentence: str) -> None:
        if sentence != self._warned:
            self._warned = sentence
            self._warn(sentence)


def _remember(known: OrderedDict[tuple[str, str], Value], key: tuple[str, str], value: Value) -> bool:
    """Keeps a value as the newest, lets the oldest go, and says whether the key is new."""
    is_new = key not in known
    known[key] = value
    known.move_to_end(key)
    if len(known) > REMEMBERED:
        known.popitem(last=False)
    return is_new
