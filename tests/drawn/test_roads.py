from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from samecar.drawn.roads import FIRST_MOMENT, SPEED, RoadSettings, draw_sightings

ROAD = RoadSettings(vehicles=300, cameras=6, seed=4)


def test_the_same_seed_draws_the_same_and_another_one_others():
    first, again, other = (draw_sightings(replace(ROAD, seed=seed)) for seed in (4, 4, 5))
    assert np.array_equal(first.matrix, again.matrix)
    assert first.times.tolist() == again.times.tolist()
    assert first.labels.vehicle_id.tolist() == again.labels.vehicle_id.tolist()
    assert len(first) != len(other) or not np.array_equal(first.matrix, other.matrix)


def test_vehicles_drive_from_camera_to_camera_in_the_time_that_the_way_takes():
    drawn = draw_sightings(ROAD)
    assert drawn.times.tolist() == sorted(drawn.times.tolist())
    assert drawn.times.min() >= FIRST_MOMENT
    steps = []
    for name in set(drawn.labels.vehicle_id):
        rows = np.flatnonzero(drawn.labels.vehicle_id == name)
        places = [int(camera[1:]) for camera in drawn.labels.camera_id[rows]]
        for (one, other), seconds in zip(pairwise(places), np.diff(drawn.times[rows]), strict=True):
            assert one != other
            steps.append(seconds / (np.linalg.norm(drawn.places[one] - drawn.places[other]) / SPEED))
    assert len(drawn) / ROAD.vehicles == pytest.approx(ROAD.sightings, rel=0.15)
    assert np.std(np.log(steps)) == pytest.approx(0.2, rel=0.1)


def test_noise_and_likeness_are_what_was_asked_for():
    """A vehicle has length one, and noise 0.7: its pictures have a cosine of 1 / 1.49, those of one make half of it."""
    drawn = draw_sightings(replace(ROAD, vehicles=1000, size=256))
    similarities = drawn.matrix @ drawn.matrix.T
    number = np.array([int(name[1:]) for name in drawn.labels.vehicle_id])
    same = (number[:, None] == number) & ~np.eye(len(number), dtype=bool)
    make = (number[:, None] // ROAD.models == number // ROAD.models) & ~same & ~np.eye(len(number), dtype=bool)
    assert np.linalg.norm(drawn.matrix, axis=1) == pytest.approx(np.ones(len(drawn)), abs=1e-5)
    assert similarities[same].mean() == pytest.approx(1 / 1.49, abs=0.02)
    assert similarities[make].mean() == pytest.approx(0.5 / 1.49, abs=0.02)
    assert similarities[~same & ~make & ~np.eye(len(number), dtype=bool)].mean() == pytest.approx(0, abs=0.02)
