"""What raises an event: embeddings whose angles are known, compared with a list by hand."""

import base64
import math

import numpy as np
import pytest
from calibrations import calibration_of

from samecar.calibration import OpenSet
from samecar.calibration.curves import Logistic
from samecar.retrieval.gallery import WATCH_FILE, Gallery
from samecar.retrieval.records import Addition, Sighting
from samecar.watching import WatchedPicture, Watcher, WatchList, announcing, watcher
from samecar.watching.watcher import compare_with_list, list_threshold

CURVE = Logistic(slope=10, intercept=0, lowest=0.01, highest=0.99)
OPEN_SET = OpenSet(false_alarm_rate=0.05, pictures=(1, 4), thresholds=(0.5, 0.7), shape=0.0, scale=0.05)
"""By hand: of one picture 0.5, of two 0.6, of four 0.7; and 0.05 more for each e-fold beyond."""


def at(degrees, size):
    """A unit vector at so many degrees from the first axis, towards the second."""
    vector = np.zeros(size, np.float32)
    vector[:2] = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return vector


def watched(vehicle, vector):
    return WatchedPicture(
        vehicle=vehicle,
        file=f"{vehicle}.jpg",
        content=f"of-{vehicle}",
        added="2026-01-01T00:00:00Z",
        embedding=base64.b64encode(vector.astype("<f2").tobytes()).decode(),
    )


@pytest.fixture
def gallery(own_gallery):
    """A gallery whose list has `north` at 0 degrees and `east` at 90."""
    with Gallery.open(str(own_gallery), device="cpu") as opened:
        size, model = opened.facts.size, opened.facts.model
        opened.attach_calibration(calibration_of(CURVE, OPEN_SET, model).to_json().encode())
        keep(opened, WatchList(model=model, pictures=(watched("north", at(0, size)), watched("east", at(90, size)))))
        yield opened


def keep(gallery, watch_list):
    gallery.engine.attach(WATCH_FILE, watch_list.model_dump_json().encode())


def added(gallery, degrees, number=1, **known):
    return number, Addition(Sighting(f"content-{number}", **known), at(degrees, gallery.facts.size))


class Told:
    """A watcher, its events and its warnings."""

    def __init__(self, gallery, seconds=60.0):
        self.events, self.warnings = [], []
        self.watcher = Watcher(gallery, [self.events.append], self.warnings.append, seconds)

    def of(self, *additions):
        before = len(self.events)
        self.watcher(list(additions))
        return [event.vehicle for event in self.events[before:]]


def test_the_most_similar_picture_counts_from_the_threshold_of_so_many_on():
    threshold = 0.5 - 1e-6
    similar = compare_with_list(np.stack([at(50, 4), at(60, 4), at(89, 4)]), np.stack([at(0, 4)]), threshold)
    assert [one.is_seen for one in similar] == [True, True, False]
    assert similar[0].similarity == pytest.approx(math.cos(math.radians(50)), abs=1e-6)
    assert list_threshold(
        calibration_of(CURVE, OPEN_SET), WatchList(model="m", pictures=2 * (watched("a", at(0, 4)),))
    )[0] == pytest.approx(0.6)


def test_a_vehicle_of_the_list_is_told_with_all_that_is_known(gallery):
    told = Told(gallery)
    known = {"camera_id": "gate", "time": 1e9, "track_id": "t1", "address": "/a.jpg", "labels": {"lane": "2"}}
    assert told.of(added(gallery, 10, 7, **known)) == ["north"]
    (event,) = told.events
    assert event.fields() == {
        "event": "seen",
        "id": event.fields()["id"],
        "vehicle": "north",
        "picture": "north.jpg",
        "gallery": gallery.name,
        "entry": 7,
        "content": "content-7",
        "camera_id": "gate",
        "time": "2001-09-09T01:46:40Z",
        "track_id": "t1",
        "address": "/a.jpg",
        "labels": {"lane": "2"},
        "similarity": round(math.cos(math.radians(10)), 4),
        "threshold": 0.6,
        "false_alarm_rate": 0.05,
        "watched": 2,
    }
    assert "seen: north by camera gate at 2001-09-09T01:46:40Z, entry 7 of" in event.sentence()


def test_strangers_raise_nothing(gallery):
    """At 53 degrees the similarity is 0.602, at 54 it is 0.588 to north and 0.809 to east; at -54 no one is near."""
    told = Told(gallery)
    assert told.of(added(gallery, -54), added(gallery, 180)) == []
    assert told.of(added(gallery, -53)) == ["north"]
    assert told.of(added(gallery, 54)) == ["east"]


def test_a_passage_with_a_track_is_told_once_and_as_its_most_similar_picture(gallery):
    told = Told(gallery)
    track = {"camera_id": "gate", "track_id": "t1"}
    assert told.of(added(gallery, 30, 1, **track), added(gallery, 5, 2, **track), added(gallery, 80, 3, **track)) == [
        "north"
    ]
    assert told.events[0].entry == 2
    assert told.of(added(gallery, 0, 4, **track), added(gallery, 90, 5, **track)) == []
    assert told.of(added(gallery, 0, 6, camera_id="yard", track_id="t1")) == ["north"]
    assert told.of(added(gallery, 0, 7, camera_id="gate", track_id="t2")) == ["north"]


def test_without_tracks_a_passage_is_what_a_camera_sees_within_a_minute(gallery):
    told = Told(gallery)

    def seen(time, camera="gate", degrees=0):
        return told.of(added(gallery, degrees, camera_id=camera, time=time))

    assert [seen(time) for time in (1000.0, 1050.0, 1105.0)] == [["north"], [], []]  # each less than a minute later
    assert seen(1166.0) == ["north"]
    assert seen(1167.0, "yard") == ["north"]
    assert seen(1168.0, degrees=90) == ["east"]
    assert seen(500.0) == ["north"]  # pictures need not come in order


def test_pictures_of_which_no_time_is_known_are_a_passage_each(gallery):
    assert Told(gallery).of(added(gallery, 0, 1), added(gallery, 0, 2)) == ["north", "north"]


def test_a_list_that_changes_is_known_soon(gallery, monkeypatch):
    told = Told(gallery)
    assert told.of(added(gallery, 0)) == ["north"]
    keep(gallery, WatchList(model=gallery.facts.model))
    assert told.of(added(gallery, 0)) == ["north"]  # within seconds
    monkeypatch.setattr(watcher, "RECENT_SECONDS", 0)
    assert told.of(added(gallery, 0)) == []
    keep(gallery, WatchList(model=gallery.facts.model, pictures=(watched("new", at(45, gallery.facts.size)),)))
    assert told.of(added(gallery, 45)) == ["new"]


def test_a_stricter_rate_asks_for_more(gallery):
    """By hand: ln(0.95)/ln(0.999) = 51.3 times two pictures is 25.6 times the four that were measured.

    0.7 + 0.05 ln(25.63) = 0.862; the cosine of 30 degrees is 0.866, of 31 degrees 0.857.
    """
    size, model = gallery.facts.size, gallery.facts.model
    pictures = (watched("north", at(0, size)), watched("east", at(90, size)))
    keep(gallery, WatchList(model=model, pictures=pictures, false_alarm_rate=0.001))
    told = Told(gallery)
    assert told.of(added(gallery, 31), added(gallery, 30)) == ["north"]
    assert told.events[0].threshold == pytest.approx(0.862, abs=1e-3)
    assert told.events[0].false_alarm_rate == 0.001


def test_a_list_that_cannot_be_read_is_told_once_and_stops_nobody(gallery, monkeypatch):
    monkeypatch.setattr(watcher, "RECENT_SECONDS", 0)
    gallery.engine.attach(WATCH_FILE, b"{}")
    told = Told(gallery)
    assert told.of(added(gallery, 0)) == told.of(added(gallery, 0)) == []
    (warning,) = told.warnings
    assert warning.startswith("the watch list waits: ")
    keep(gallery, WatchList(model=gallery.facts.model, pictures=(watched("north", at(0, gallery.facts.size)),)))
    assert told.of(added(gallery, 0)) == ["north"]
    gallery.engine.attach(WATCH_FILE, b"{}")
    assert told.of(added(gallery, 0)) == []
    assert len(told.warnings) == 2  # it had been mended in between


def test_passages_that_are_remembered_are_bounded(gallery, monkeypatch):
    monkeypatch.setattr(watcher, "REMEMBERED", 3)
    told = Told(gallery)
    for number in range(10):
        told.of(added(gallery, 0, number, track_id=f"t{number}"))
        told.of(added(gallery, 0, number, camera_id=f"c{number}", time=1.0))
    assert len(told.watcher._passages) == len(told.watcher._last) == 3


def test_what_is_added_by_a_gallery_is_compared_and_what_it_holds_already_is_not(gallery, tmp_path):
    from galleries import painted

    from samecar.retrieval.incoming import Incoming

    new, known = painted(tmp_path, 3, 0, 9), painted(tmp_path, 1, 0, 0)
    size = gallery.facts.size
    everyone = [watched(f"v{place}", at(0, size) * sign) for place, sign in enumerate((1, -1))]
    open_set = OpenSet(false_alarm_rate=0.05, pictures=(1, 4), thresholds=(-1, -1), shape=0, scale=0)
    gallery.attach_calibration(calibration_of(CURVE, open_set, gallery.facts.model).to_json().encode())
    keep(gallery, WatchList(model=gallery.facts.model, pictures=tuple(everyone)))
    told = []
    with announcing(gallery, tell=told.append, warn=told.append):
        gallery.add([Incoming(new), Incoming(known)])
        gallery.add([Incoming(new)])
        number = gallery.add_pooled(Sighting("pooled", track_id="film/1"), [gallery_picture(new)])
        gallery.add_pooled(Sighting("pooled", track_id="film/2"), [gallery_picture(new)])
    assert len(told) == 2
    assert f"entry {number} of" in told[1]
    gallery.add_pooled(Sighting("later"), [gallery_picture(new)])
    assert len(told) == 2
    assert gallery.observers == []


def gallery_picture(path):
    from PIL import Image

    return Image.open(path).convert("RGB")
