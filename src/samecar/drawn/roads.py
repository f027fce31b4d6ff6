"""Drawn sightings of vehicles that drive from camera to camera, as embeddings with times: no pictures are made."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samecar.labels import Labels

FIRST_MOMENT = 1_700_000_000.0
"""Seconds since 1970 at which a drawn day begins."""

SPEED = 12.0
"""Metres a second on a free road."""

NEIGHBOURS = 3
"""Cameras that roads lead to from each, at least."""

SPREAD = 0.2
"""Of the logarithm of travel times from trip to trip."""


@dataclass(frozen=True)
class RoadSettings:
    """What is drawn.

    Attributes:
        vehicles: that drive, each once.
        cameras: that stand along the roads.
        seconds: within which vehicles set out.
        sightings: mean number of cameras that a vehicle passes, one at least.
        kilometres: side of the square in which the cameras stand.
        size: numbers in an embedding.
        models: vehicles of one make and colour, which look alike.
        likeness: share of an embedding's square that vehicles of one make have in common, from 0 up to but without 1.
        noise: standard deviation of what light, side and distance add, where a vehicle has length one.
        seed: of chance.
    """

    vehicles: int = 200
    cameras: int = 8
    seconds: float = 3600.0
    sightings: float = 3.0
    kilometres: float = 4.0
    size: int = 64
    models: int = 5
    likeness: float = 0.5
    noise: float = 0.7
    seed: int = 0


@dataclass(frozen=True, eq=False)
class DrawnSightings:
    """Sightings in the order of their times.

    Attributes:
        matrix: (sightings, size) embeddings of length one.
        labels: vehicle and camera of each.
        times: (sightings,) seconds since 1970.
        places: (cameras, 2) metres.
    """

    matrix: NDArray[np.float32]
    labels: Labels
    times: NDArray[np.float64]
    places: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.times)


def draw_sightings(settings: RoadSettings) -> DrawnSightings:
    """Draws vehicles, their ways over a road graph, and an embedding for each camera that one passes."""
    generator = np.random.default_rng(settings.seed)
    places = generator.uniform(0, 1000 * settings.kilometres, (settings.cameras, 2))
    roads = _draw_roads(places)
    vehicle, camera, times = [], [], []
    for number in range(settings.vehicles):
        moment = FIRST_MOMENT + generator.uniform(0, settings.seconds)
        place, before = int(generator.integers(settings.cameras)), -1
        for _ in range(int(generator.geometric(1 / settings.sightings))):
            vehicle.append(number)
            camera.append(place)
            times.append(moment)
            ways = [other for other in roads[place] if other != before] or roads[place]
            place, before = int(generator.choice(ways)), place
            metres = float(np.linalg.norm(places[place] - places[before]))
            moment += metres / SPEED * float(np.exp(generator.normal(0, SPREAD)))
    matrix = _draw_embeddings(settings, np.array(vehicle), generator)
    order = np.argsort(times, kind="stable")
    labels = Labels(
        np.array([f"v{number:06d}" for number in vehicle])[order],
        np.array([f"c{number:02d}" for number in camera])[order],
    )
    return DrawnSightings(matrix[order], labels, np.array(times)[order], places)


def _draw_roads(places: NDArray[np.float64]) -> list[list[int]]:
    """The cameras that roads lead to from each: the nearest ones, both ways."""
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    nearest = np.argsort(apart, axis=1, kind="stable")[:, 1 : NEIGHBOURS + 1]
    roads: list[set[int]] = [set(row.tolist()) for row in nearest]
    for place, near in enumerate(nearest.tolist()):
        for other in near:
            roads[other].add(place)
    return [sorted(road) for road in roads]


def _draw_embeddings(
    settings: RoadSettings, vehicle: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.float32]:
    def directions(number: int) -> NDArray[np.float64]:
        drawn = generator.normal(size=(number, settings.size))
        unit: NDArray[np.float64] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        return unit

    make = np.arange(settings.vehicles) // settings.models
    common = np.sqrt(settings.likeness) * directions(int(make.max()) + 1)[make]
    centres = common + np.sqrt(1 - settings.likeness) * directions(settings.vehicles)
    noise = generator.normal(0, settings.noise / np.sqrt(settings.size), (len(vehicle), settings.size))
    found = centres[vehicle] + noise
    unit: NDArray[np.float32] = (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)
    return unit
