"""Which sightings may be one vehicle: by place and time, and by what people say."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samecar.linking.agglomeration import Compared
from samecar.linking.sightings import Sightings
from samecar.linking.travel import TravelTimes

FEW_PAIRS = 40
"""Up to so many pairs a loop is quicker than arrays."""


class Rules:
    """What is possible on the road, and what people have said.

    Two sightings cannot be one vehicle if people say so, or if the way from the earlier to the later would take less
    than the least time. Two tracks of one camera at the same moment are two vehicles.

    Args:
        sightings: of a gallery.
        travel: least times between cameras.
        vehicles: (sightings,) number of the vehicle that people know; -1 where nobody does. Two numbers are two
            vehicles.
        different: pairs that people judged not the same.
        same_camera: whether pairs by one camera say something by their appearance.
    """

    def __init__(
        self,
        sightings: Sightings,
        travel: TravelTimes,
        vehicles: NDArray[np.int64],
        different: Sequence[tuple[int, int]] = (),
        same_camera: bool = False,
    ) -> None:
        names = sightings.cameras
        number = {name: place for place, name in enumerate(names)}
        self.cameras = np.array([number[sighting.camera_id] for sighting in sightings.all], np.int64)
        self.starts, self.ends = sightings.starts(), sightings.ends()
        self.least, self.most = travel.matrices(names)
        self.compares = np.ones((len(names), len(names)), bool)
        if not same_camera:
            known = [place for place, name in enumerate(names) if name]
            self.compares[known, known] = False
        self._tracked = np.array([sighting.track_id != "" for sighting in sightings.all], bool)
        self._vehicles = vehicles
        self._different = _by_each(different)
        columns = (self.cameras, self.starts, self.ends, self._tracked, vehicles)
        self._rows = list(zip(*(column.tolist() for column in columns), strict=True))
        self._least, self._compares = self.least.tolist(), self.compares.tolist()

    def compare(self, first: Sequence[int], second: Sequence[int]) -> Compared:
        """Looks at all pairs of a sighting of the first cluster with one of the second."""
        if self._different and any(other in self._different.get(one, ()) for one in first for other in second):
            return Compared(True, 0)
        if len(first) * len(second) > FEW_PAIRS:
            return self._compare_many(np.array(first), np.array(second))
        pairs = 0
        for one in first:
            row = self._rows[one]
            for other in second:
                if self._is_apart(row, theirs := self._rows[other]):
                    return Compared(True, 0)
                pairs += self._compares[row[0]][theirs[0]]
        return Compared(False, pairs)

    def _is_apart(self, one: tuple[int, float, float, bool, int], other: tuple[int, float, float, bool, int]) -> bool:
        if one[4] >= 0 <= other[4] and one[4] != other[4]:
            return True
        earlier, later = (one, other) if one[1] <= other[1] else (other, one)
        gap = later[1] - earlier[2]  # NaN where a time is not known, which is less than nothing
        if gap < self._least[earlier[0]][later[0]]:
            return True
        return gap <= 0 and one[0] == other[0] and one[3] and other[3]

    def _compare_many(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Compared:
        cameras = self.cameras[first][:, None], self.cameras[second][None]
        vehicles = self._vehicles[first][:, None], self._vehicles[second][None]
        gap = self.gaps(first[:, None], second[None])
        earlier = self.starts[first][:, None] <= self.starts[second][None]
        least = np.where(earlier, self.least[cameras], self.least[cameras[::-1]])
        named = (vehicles[0] >= 0) & (vehicles[1] >= 0) & (vehicles[0] != vehicles[1])
        tracked = self._tracked[first][:, None] & self._tracked[second][None] & (cameras[0] == cameras[1])
        if (named | (gap < least) | (tracked & (gap <= 0))).any():
            return Compared(True, 0)
        return Compared(False, int(self.compares[cameras].sum()))

    def gaps(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
        """Seconds from the end of the earlier to the start of the later; below nought where they overlap."""
        earlier = self.starts[first] <= self.starts[second]
        after = np.where(earlier, self.starts[second], self.starts[first])
        gaps: NDArray[np.float64] = after - np.where(earlier, self.ends[first], self.ends[second])
        return gaps

    def ways(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> "Ways":
        """From where to where pairs lead, and whether they are within reach.

        Args:
            first: (pairs,) sightings.
            second: (pairs,) others.
        """
        gaps = self.gaps(first, second)
        timed = np.isfinite(gaps)
        one, other = self.cameras[first], self.cameras[second]
        forward = np.where(timed, self.starts[first] <= self.starts[second], one <= other)
        origin, target = np.where(forward, one, other), np.where(forward, other, one)
        possible = ~timed | ((gaps >= self.least[origin, target]) & (gaps <= self.most[origin, target]))
        return Ways((timed.astype(np.int64), origin, target), possible & self.compares[origin, target])

    def count_ways(self) -> NDArray[np.float64]:
        """How many pairs of sightings are within reach, (2, cameras, cameras), as `Ways` numbers them."""
        cameras = range(len(self.least))
        timed = np.isfinite(self.starts)
        moments = [np.sort(self.starts[timed & (self.cameras == camera)]) for camera in cameras]
        without = [int((~timed & (self.cameras == camera)).sum()) for camera in cameras]
        found = np.zeros((2, len(cameras), len(cameras)))
        for one, other in np.argwhere(self.compares).tolist():
            ours, theirs = moments[one], moments[other]
            least = max(self.least[one, other], 0.0)
            later = np.searchsorted(theirs, ours + self.most[one, other], "right")
            later -= np.searchsorted(theirs, ours + least, "left")
            found[1, one, other] = np.maximum(later, 0).sum()
            if one == other:
                found[1, one, one] -= len(ours) * (least == 0)  # each is not its own partner
                found[0, one, one] = without[one] * (without[one] - 1) / 2 + without[one] * len(ours)
            elif one < other:
                found[0, one, other] = without[one] * (without[other] + len(theirs)) + len(ours) * without[other]
        return found


class Ways(NamedTuple):
    """What leads from one sighting of a pair to the other.

    Attributes:
        places: (pairs,) each: 1 where both have a time, else 0; number of the earlier one's camera, and of the later
            one's; without times the lower number is the first.
        within_reach: (pairs,) whether appearance says something: both cameras are compared, and the way takes neither
            too few nor too many seconds.
    """

    places: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    within_reach: NDArray[np.bool_]


def _by_each(pairs: Sequence[tuple[int, int]]) -> Mapping[int, set[int]]:
    found: dict[int, set[int]] = {}
    for one, other in pairs:
        found.setdefault(one, set()).add(other)
        found.setdefault(other, set()).add(one)
    return found
