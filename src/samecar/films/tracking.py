"""Linking detections of one frame after another to tracks: one vehicle's passage by the camera.

Where a vehicle will be is predicted from its speed. Predictions are paired with the sure detections first; tracks that
are left over then get the unsure ones, which is how a vehicle is followed while something hides half of it. The two
rounds are the idea of ByteTrack (Zhang et al., 2022); the code is our own.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from samecar.errors import naming_extra
from samecar.films.detection import Boxes, Detections, areas, centres, closeness

if TYPE_CHECKING:
    from types import ModuleType

PATIENCE = 1.0
"""Seconds that a track waits at least for its vehicle to be seen again."""

BIRTH_HITS = 3
"""Sure detections that make a track: what is seen less often is mostly no vehicle."""

BIRTH_SECONDS = 0.35
"""How long they must be apart in all: at a high frame rate a mistake is soon repeated three times."""

SPEED_WEIGHT = 0.5
"""Of the speed just seen; the rest is what was known before."""

NEAR = 0.1
"""Least closeness of a detection to where a track is expected, once its speed is known."""

NEAR_AT_BIRTH = -0.25
"""The same for a track that was seen once: it may have moved by a little more than its own width."""

NEAR_UNSURE = 0.3
"""The same for an unsure detection, which must lie where the vehicle is expected."""

SIZE_RATIO = 2.5
"""A vehicle's box does not become so many times larger or smaller, in area, from one detection to the next."""


@dataclass(eq=False)
class Track:
    """A vehicle that is being followed.

    Attributes:
        first: time of the first detection in seconds.
        last: time of the last one.
        box: (4,) the last one.
        velocity: (2,) of the centre, in pixels a second.
        detections: number of detections.
        hits: number of sure ones.
        number: 1 for the first track that was seen `BIRTH_HITS` times over `BIRTH_SECONDS`, and so on; 0 before that.
        votes: for each kind of vehicle, the sum of the confidence of detections that took it for one.
    """

    first: float
    last: float
    box: Boxes
    velocity: NDArray[np.float32] = field(default_factory=lambda: np.zeros(2, np.float32))
    detections: int = 1
    hits: int = 1
    number: int = 0
    votes: Counter[str] = field(default_factory=Counter)

    @property
    def kind(self) -> str:
        """What the detector took the vehicle for, mostly."""
        return max(self.votes, key=self.votes.__getitem__)

    def expected(self, time: float) -> Boxes:
        """(4,) where the vehicle will be."""
        return self.box + np.tile(self.velocity, 2) * (time - self.last)

    def follow(self, time: float, box: Boxes) -> None:
        """Takes the next detection."""
        moved = centres(box[None])[0] - centres(self.box[None])[0]
        weight = SPEED_WEIGHT if self.detections > 1 else 1.0
        self.velocity = (1 - weight) * self.velocity + weight * moved / np.float32(time - self.last)
        self.box, self.last = box, time
        self.detections += 1


class Tracker:
    """Follows the vehicles of one film.

    Args:
        sure: confidence from which a detection is sure; only sure ones begin a track.
        spacing: seconds that commonly lie between two frames; where that is long, tracks wait for one frame.
    """

    def __init__(self, sure: float, spacing: float = 0.0) -> None:
        _load_scipy()  # which takes a while, in which a camera films on
        self._sure = sure
        self._patience = max(PATIENCE, 1.5 * spacing)
        self._tracks: list[Track] = []
        self._numbered = 0

    def step(self, time: float, detections: Detections) -> dict[int, Track]:
        """Takes the next frame's detections.

        Args:
            time: of the frame in seconds, later than the one before.
            detections: of the frame.

        Returns:
            The track of each detection, by the detection's number; unsure ones that no track waited for have none.
        """
        sure = [i for i in range(len(detections)) if detections.confidences[i] >= self._sure]
        unsure = [i for i in range(len(detections)) if detections.confidences[i] < self._sure]
        waiting = self._find_waiting(time)
        linked = self._pair(time, waiting, sure, detections)
        waiting = [track for track in waiting if track not in linked.values() and track.detections > 1]
        linked |= self._pair(time, waiting, unsure, detections, unsure=True)
        for i, track in linked.items():
            track.follow(time, detections.boxes[i])
        for i in sure:
            if i in linked:
                linked[i].hits += 1
            else:
                linked[i] = Track(time, time, detections.boxes[i])
                self._tracks.append(linked[i])
        for i, track in sorted(linked.items()):
            track.votes[detections.kinds[i]] += detections.confidences[i]
            if not track.number and track.hits >= BIRTH_HITS and time - track.first >= BIRTH_SECONDS:
                self._numbered += 1
                track.number = self._numbered
        return linked

    def ended(self, time: float) -> list[Track]:
        """Lets go of tracks whose vehicle was not seen for too long before this time, and gives them."""
        kept = self._find_waiting(time)
        gone = [track for track in self._tracks if track not in kept]
        self._tracks = kept
        return gone

    def _find_waiting(self, time: float) -> list[Track]:
        """Tracks whose vehicle may still be seen again."""
        return [track for track in self._tracks if time - track.last <= self._patience]

    def _pair(
        self, time: float, tracks: list[Track], candidates: list[int], detections: Detections, *, unsure: bool = False
    ) -> dict[int, Track]:
        """The pairs that are closest in sum, of those that are close enough."""
        if not tracks or not candidates:
            return {}
        expected = np.stack([track.expected(time) for track in tracks])
        boxes = detections.boxes[candidates]
        close = closeness(expected, boxes)  # (tracks, candidates)
        ratio = np.abs(np.log(areas(expected)[:, None] / areas(boxes)[None, :]))
        least = np.array([NEAR_UNSURE if unsure else NEAR if t.detections > 1 else NEAR_AT_BIRTH for t in tracks])
        possible = (close >= least[:, None]) & (ratio <= np.log(SIZE_RATIO))
        # An impossible pair costs more than any possible ones together, so that it never takes the place of one.
        cost = np.where(possible, 1 - close, 3 * min(close.shape) + 1)
        rows, columns = _load_scipy().linear_sum_assignment(cost)
        return {
            candidates[j]: tracks[i] for i, j in zip(rows.tolist(), columns.tolist(), strict=True) if possible[i, j]
        }


def _load_scipy() -> "ModuleType":
    with naming_extra("films need"):
        from scipy import optimize

    module: ModuleType = optimize
    return module
