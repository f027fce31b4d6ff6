import numpy as np
import pytest

from samecar.films import Detections
from samecar.films.tracking import PATIENCE, Tracker


def seen(*vehicles):
    """Detections from (left, top, confidence) of boxes of 40 × 30."""
    boxes = [(left, top, left + 40, top + 30) for left, top, *_ in vehicles]
    confidences = [vehicle[2] if len(vehicle) > 2 else 0.9 for vehicle in vehicles]
    kinds = tuple(vehicle[3] if len(vehicle) > 3 else "car" for vehicle in vehicles)
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(confidences, np.float32), kinds)


def follow(frames, interval=0.2):
    """The tracks of each frame's detections, in the order of the detections."""
    tracker = Tracker(0.4)
    rows = []
    for i, detections in enumerate(frames):
        linked = tracker.step(i * interval, detections)
        rows.append([linked.get(j) for j in range(len(detections))])
    return rows, tracker


def test_one_vehicle_is_one_track():
    rows, tracker = follow([seen((10 * i, 50)) for i in range(10)])
    (track,) = {track for row in rows for track in row}
    assert (track.number, track.hits, track.kind) == (1, 10, "car")
    assert (track.first, track.last) == (0, pytest.approx(1.8))
    assert track.velocity.tolist() == pytest.approx([50, 0])
    assert track.expected(2.0).tolist() == pytest.approx([100, 50, 140, 80])
    assert tracker.ended(2.0) == []
    assert tracker.ended(1.8 + PATIENCE + 0.1) == [track]
    assert tracker.ended(100) == []


def test_vehicles_that_cross_keep_their_tracks():
    # Both are at 100 in frame 10, ten pixels apart in height, and are told in changing order.
    frames = []
    for i in range(21):
        both = [(10 * i, 50), (200 - 10 * i, 60)]
        frames.append(seen(*(both if i % 2 else both[::-1])))
    rows, _ = follow(frames)
    rows = [row if i % 2 else row[::-1] for i, row in enumerate(rows)]
    assert len({row[0] for row in rows}) == len({row[1] for row in rows}) == 1
    assert rows[0][0] is not rows[0][1]


def test_a_hidden_vehicle_is_found_again_where_it_must_be():
    places = [20 * i for i in range(15)]
    frames = [seen() if 5 <= i < 9 else seen((places[i], 50)) for i in range(15)]  # hidden for 0.8 seconds
    rows, _ = follow(frames)
    assert len({track for row in rows for track in row}) == 1


def test_a_vehicle_that_stays_away_is_another_one():
    tracker = Tracker(0.4)
    *_, first = [tracker.step(0.2 * i, seen((20, 50)))[0] for i in range(5)]
    for i in range(5, 12):
        tracker.step(0.2 * i, seen())
        if ended := tracker.ended(0.2 * i):
            assert ended == [first]
    *_, again = [tracker.step(2.4 + 0.2 * i, seen((20, 50)))[0] for i in range(5)]
    assert again is not first
    assert (first.number, again.number) == (1, 2)


def test_a_film_that_pauses_does_not_carry_a_vehicle_over_the_pause():
    """Of a camera that films only when something moves: the next car stands where the last one stood, an hour later."""
    tracker = Tracker(0.4, spacing=0.2)
    *_, first = [tracker.step(0.2 * i, seen((20, 50)))[0] for i in range(5)]
    *_, again = [tracker.step(3600 + 0.2 * i, seen((20, 50)))[0] for i in range(5)]
    assert again is not first
    assert tracker.ended(3601) == [first]


def test_where_frames_are_rare_a_track_waits_for_the_next_one():
    tracker = Tracker(0.4, spacing=10)
    assert len({tracker.step(10.0 * i, seen((20, 50)))[0] for i in range(5)}) == 1
    assert tracker.ended(54) == []
    assert len(tracker.ended(60)) == 1


def test_what_is_seen_twice_has_no_number():
    rows, tracker = follow([seen((20, 50)), seen((20, 50)), seen()])
    assert rows[1][0].number == 0
    assert tracker.ended(100) == [rows[1][0]]


def test_three_hits_at_a_high_frame_rate_are_too_soon():
    rows, _ = follow([seen((20, 50))] * 10, interval=0.05)
    assert [row[0] for row in rows] == [rows[0][0]] * 10
    assert follow([seen((20, 50))] * 5, interval=0.05)[0][-1][0].number == 0
    assert rows[-1][0].number == 1


def test_unsure_detections_carry_on_a_track_but_begin_none():
    rows, _ = follow([seen((10 * i, 50, 0.9 if i < 3 else 0.2), (10 * i, 200, 0.3)) for i in range(8)])
    assert len({row[0] for row in rows}) == 1
    assert rows[-1][0].hits == 3
    assert rows[-1][0].detections == 8
    assert all(row[1] is None for row in rows)


def test_sure_detections_come_first():
    # The unsure box lies exactly where the vehicle is expected, the sure one beside it.
    frames = [seen((10 * i, 50)) for i in range(4)] + [seen((40, 50, 0.2), (48, 52))]
    rows, _ = follow(frames)
    assert rows[4] == [None, rows[0][0]]


def test_a_vehicle_may_move_by_its_own_width_at_first_and_by_more_once_its_speed_is_known():
    rows, _ = follow([seen((44 * i, 50)) for i in range(6)])
    assert len({row[0] for row in rows}) == 1
    rows, _ = follow([seen((left, 50)) for left in (0, 40, 90, 150, 215)])
    assert len({row[0] for row in rows}) == 1
    rows, _ = follow([seen((0, 50)), seen((100, 50))])
    assert rows[0][0] is not rows[1][0]


def test_a_box_of_another_size_is_another_vehicle():
    large = Detections(np.array([[0, 0, 200, 160]], np.float32), np.array([0.9], np.float32), ("bus",))
    rows, _ = follow([seen((60, 60)), large])
    assert rows[0][0] is not rows[1][0]


def test_a_track_is_what_it_was_mostly_taken_for():
    frames = [seen((20, 50, 0.9, "truck"))] + [seen((20, 50, 0.5, "car"))] * 2
    assert follow(frames[:2])[0][-1][0].kind == "truck"
    assert follow(frames)[0][-1][0].kind == "car"


def test_every_pairing_is_the_best_one_of_all():
    # The first track is nearest to the left box, and so is the second; only one order serves both.
    rows, _ = follow([seen((0, 50), (60, 50)), seen((35, 50), (96, 50))])
    assert rows[1] == rows[0]
