from dataclasses import dataclass

import pytest

from samecar.retrieval.records import CameraSummary, Entry, Sighting, Summary
from samecar.retrieval.vehicle_count import SAMPLE, VehicleCount, count_vehicles, vehicle_key


@dataclass
class Listed:
    """An engine that lists entries, as far as counting asks it."""

    sightings: list[Sighting]
    apart: int = 1

    def listed(self, allowed, *, beyond=0, limit):
        entries = [Entry(self.apart * number, sighting) for number, sighting in enumerate(self.sightings, 1)]
        return [entry for entry in entries if entry.id > beyond][:limit]

    def count(self):
        vehicles = {sighting.vehicle_id for sighting in self.sightings} - {""}
        cameras = (CameraSummary("", len(self.sightings), None, None),)
        return count_vehicles(self, Summary(len(self.sightings), len(vehicles), 0, cameras))


def named(vehicle, times=1):
    return [Sighting("", vehicle_id=f"v{vehicle}")] * times


def tracked(track, times=1, camera="c1"):
    return [Sighting("", camera_id=camera, track_id=f"t{track}")] * times


def alone(times):
    return [Sighting("")] * times


@pytest.mark.parametrize(
    ("sightings", "expected"),
    [
        ([], VehicleCount(1, 0, 1, "pictures")),
        (alone(7), VehicleCount(7, 7, 1, "pictures")),
        (named(1, 4) + named(2, 2), VehicleCount(2, 6, 3, "labels")),
        (tracked(1, 5) + tracked(2) + tracked(1, 1, "c2"), VehicleCount(3, 7, 1, "tracks")),
        (named(1, 4) + tracked(2, 3) + alone(2), VehicleCount(4, 9, 4, "labels, tracks and pictures")),
        (named(1, 2) + alone(1), VehicleCount(2, 3, 2, "labels and pictures")),
    ],
)
def test_names_count_then_tracks_and_each_other_picture_for_itself(sightings, expected):
    assert Listed(sightings).count() == expected


@pytest.mark.parametrize("apart", [1, 3, 1000])
def test_of_a_large_gallery_what_has_no_name_is_estimated_over_its_whole_length(apart):
    """The older half has names, two pictures each, and the newer half has none; numbers lie apart over servers."""
    half = 2 * SAMPLE
    sightings = [sighting for vehicle in range(half // 2) for sighting in named(vehicle, 2)] + alone(half)
    found = Listed(sightings, apart).count()
    assert found.source == "labels and pictures"
    assert found.vehicles == pytest.approx(half // 2 + half, rel=0.1 if apart > 1 else 1e-6)
    assert found.pictures_per_vehicle == pytest.approx(2, rel=0.2 if apart > 1 else 1e-6)


def test_among_some_of_the_pictures_there_are_no_more_vehicles_than_pictures():
    count = VehicleCount(100, 1000, 10, "labels")
    assert count.among(1000) == (100, 10)
    assert count.among(500) == (100, 5)
    assert count.among(50) == (50, 1)
    assert count.among(0) == (1, 1)


def test_a_vehicle_is_told_by_its_name_then_its_track_then_its_number():
    assert vehicle_key(Entry(1, Sighting("", vehicle_id="a", track_id="t"))) == ("label", "a")
    assert vehicle_key(Entry(1, Sighting("", camera_id="c", track_id="t"))) == ("track", "c", "t")
    assert vehicle_key(Entry(1, Sighting(""))) != vehicle_key(Entry(2, Sighting("")))
