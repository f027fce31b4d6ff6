"""Journeys: the sightings of a vehicle in the order of time, without a step that takes longer than is usual."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samecar.calibration.odds import expit
from samecar.linking.agglomeration import ScoredPairs
from samecar.linking.sightings import Sighting, Sightings
from samecar.linking.travel import TravelTimes

MARK = "j-"
"""Begins the name of a journey."""

NAME_DIGITS = 12
"""Of a content's 64 in the name of a journey: two names do not meet by chance."""


@dataclass(frozen=True)
class Step:
    """A sighting of a journey.

    Attributes:
        sighting: what was seen.
        probability: that it belongs to the rest of the journey; None in a journey of one sighting, and where people
            or rules alone have linked it.
        seconds: since the end of the sighting before; None for the first, and where a time is not known.
    """

    sighting: Sighting
    probability: float | None
    seconds: float | None


@dataclass(frozen=True)
class Journey:
    """Sightings of one vehicle, in the order of time; those without a time are the last.

    Attributes:
        name: of the journey; it stays while no earlier sighting is found.
        steps: its sightings, one or more.
        vehicle_id: the vehicle, if people know it.
    """

    name: str
    steps: tuple[Step, ...]
    vehicle_id: str

    @property
    def cameras(self) -> tuple[str, ...]:
        """Where it led, in the order of time."""
        return tuple(step.sighting.camera_id for step in self.steps)

    @property
    def timed(self) -> bool:
        """Whether the time of each sighting is known, and with it where the journey began and ended."""
        return self.steps[-1].sighting.start is not None  # those without a time are the last

    @property
    def moves(self) -> list[tuple[str, str, float]]:
        """From camera to camera, with the seconds that it took; steps at one camera and untimed ones are none."""
        return [
            (before.sighting.camera_id, after.sighting.camera_id, after.seconds)
            for before, after in zip(self.steps, self.steps[1:], strict=False)
            if after.seconds is not None and before.sighting.camera_id != after.sighting.camera_id
        ]


def make_journeys(
    sightings: Sightings, vehicle: NDArray[np.int64], pairs: ScoredPairs, travel: TravelTimes
) -> tuple[Journey, ...]:
    """Journeys of vehicles; one ends where the next sighting comes later than the most seconds allow.

    Args:
        sightings: of the gallery.
        vehicle: (sightings,) a number for the vehicle of each.
        pairs: log-odds, by which it is told how sure each sighting is.
        travel: most seconds between cameras.

    Returns:
        In the order of their first sightings; untimed ones last.
    """
    near = _near(pairs)
    found: list[Journey] = []
    order = np.argsort(vehicle, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(vehicle[order])) + 1) if len(order) else ():
        parts = _split(sightings, members.tolist(), near, pairs.floor, travel)
        found += [_make_journey(sightings, part, near) for part in parts]
    return tuple(sorted(found, key=_journey_order))


Near = dict[int, dict[int, float]]


def _near(pairs: ScoredPairs) -> Near:
    near: Near = {}
    for one, other, score in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.scores.tolist(), strict=True):
        near.setdefault(one, {})[other] = score
        near.setdefault(other, {})[one] = score
    return near


def _split(
    sightings: Sightings, members: Sequence[int], near: Near, floor: float, travel: TravelTimes
) -> list[list[int]]:
    """Parts in the order of time; what has no time goes with the part that it is most like, the earliest of these."""
    timed = [number for number in members if sightings.all[number].start is not None]
    timed.sort(key=lambda number: (sightings.all[number].start, sightings.all[number].end, number))
    untimed = [number for number in members if sightings.all[number].start is None]
    if not timed:
        return [untimed]
    parts, latest = [[timed[0]]], timed[0]
    for number in timed[1:]:
        before, after = sightings.all[latest], sightings.all[number]
        _, most = travel.between(before.camera_id, after.camera_id)
        if _seconds_between(before, after) > most:
            parts.append([])
        parts[-1].append(number)
        latest = number
    alike = [list(part) for part in parts]
    for number in untimed:
        means = [np.mean([near.get(number, {}).get(other, floor) for other in part]) for part in alike]
        parts[int(np.argmax(means))].append(number)
    return parts


def _make_journey(sightings: Sightings, part: Sequence[int], near: Near) -> Journey:
    steps = []
    for place, number in enumerate(part):
        sighting = sightings.all[number]
        seconds = None
        if place and sighting.start is not None:
            seconds = _seconds_between(sightings.all[part[place - 1]], sighting)
        steps.append(Step(sighting, _sureness(number, part, near), seconds))
    names = {step.sighting.vehicle_id for step in steps} - {""}
    return Journey(f"{MARK}{steps[0].sighting.content[:NAME_DIGITS]}", tuple(steps), min(names, default=""))


def _sureness(number: int, part: Sequence[int], near: Near) -> float | None:
    """The probability of the mean log-odds with those sightings that say something of it."""
    scores = [near[number][other] for other in part if other in near.get(number, {})]
    return float(expit(np.array(np.mean(scores)))) if scores else None


def _seconds_between(before: Sighting, after: Sighting) -> float:
    return float(after.start or 0.0) - float(before.end or 0.0)


def _journey_order(journey: Journey) -> tuple[bool, float, str]:
    first = journey.steps[0].sighting
    return first.start is None, first.start or 0.0, first.content
