import csv
import io
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samecar.linking.journeys import Journey, Step
from samecar.linking.linking import Linking
from samecar.linking.sightings import Sighting as Passage
from samecar.linking.tables import count_flows, measure_travel_times, median_interval, write_tables
from samecar.linking.travel import TravelTimes
from samecar.retrieval.records import Entry, Sighting
from samecar.uncertainty import score_interval


def journey(number, *seen):
    """A journey of (camera, seconds since 1970), each a picture."""
    steps, before = [], None
    for place, (camera, time) in enumerate(seen):
        entry = Entry(100 * number + place, Sighting(f"{number:02d}{place:062d}", f"={place}.jpg", camera, time))
        seconds = None if before is None or time is None else time - before
        steps.append(Step(Passage((entry,), camera, time, time, "", ""), 0.9 if place else None, seconds))
        before = time
    return Journey(f"j-{number}", tuple(steps), "")


def test_travel_times_are_of_moves_between_two_cameras():
    journeys = [journey(number, ("a", 0), ("b", 10 + number), ("b", 90), ("a", 100)) for number in range(9)]
    journeys.append(journey(9, ("a", 0), ("b", None)))
    there, back = measure_travel_times(journeys)
    assert (there.origin, there.target, there.moves, there.median) == ("a", "b", 9, 14)
    assert there.interval == (11, 17)  # of 9 values the second and the eighth
    assert (there.low, there.high) == pytest.approx((10.8, 17.2))
    assert (back.origin, back.target, back.moves, back.median, back.interval) == ("b", "a", 9, 10, (10, 10))


def test_flows_are_shares_of_the_journeys_of_an_origin():
    journeys = [journey(number, ("a", 0), ("b", 5), ("c", 9)) for number in range(3)]
    journeys += [journey(5, ("a", 0), ("b", 5)), journey(6, ("b", 0)), journey(7, ("c", 0), ("a", 3))]
    found = count_flows(journeys)
    assert [(flow.origin, flow.target, flow.journeys, flow.share) for flow in found] == [
        ("a", "b", 1, 0.25),
        ("a", "c", 3, 0.75),
        ("c", "a", 1, 1.0),
    ]
    assert found[1].interval == score_interval(0.75, 0.75 * 0.25 / 4, vehicles=4, degrees=3)
    assert found[2].interval is None


def test_where_a_time_is_not_known_nobody_knows_where_a_journey_began_and_ended():
    journeys = [journey(0, ("a", None), ("b", None)), journey(1, ("a", 0), ("b", 5), ("c", None))]
    assert count_flows(journeys) == []


@given(st.integers(1, 80))
def test_the_ranks_of_a_medians_interval_are_as_far_inside_as_the_binomial_distribution_allows(number):
    found = median_interval(range(1, number + 1))

    def outside(rank):  # that the median lies below the value of this rank, or above its counterpart
        return 2 * sum(comb(number, below) for below in range(rank)) / 2**number

    if found is None:
        assert outside(1) > 0.05
        return
    low, high = found
    assert high == number + 1 - low
    assert outside(low) <= 0.05 < outside(low + 1)


def test_the_interval_of_a_median_of_many_holds_it_as_often_as_is_said():
    generator = np.random.default_rng(4)
    held = 0
    for _ in range(300):
        low, high = median_interval(generator.exponential(size=1201).tolist())
        held += low <= np.log(2) <= high
    assert 0.91 < held / 300 < 0.99


def test_tables_are_written_and_limits_can_be_given_again(tmp_path):
    travel = TravelTimes({("a", "b"): (5.0, 60.0), ("b", "a"): (5e-324, 50.0)}, 600)
    journeys = (journey(1, ("a", 1.7e9), ("b", 1.7e9 + 20)), journey(2, ("b", None)))
    linking = Linking(journeys, travel, True, 3, 3, 3, 10.0, 0, ())
    written = write_tables(linking, tmp_path / "new" / "tables")
    names = ["journeys.csv", "travel_times.csv", "origin_destination.csv", "limits.csv"]
    assert [path.name for path in written] == names
    rows = [list(csv.DictReader(io.StringIO(path.read_text()))) for path in written]
    assert [(row["journey"], row["step"], row["camera_id"], row["start"], row["seconds"]) for row in rows[0]] == [
        ("j-1", "1", "a", "2023-11-14T22:13:20Z", ""),
        ("j-1", "2", "b", "2023-11-14T22:13:40Z", "20.0"),
        ("j-2", "1", "b", "", ""),
    ]
    assert rows[0][0]["address"] == "'=0.jpg"  # no spreadsheet executes it
    assert rows[1] == [
        {
            "from": "a",
            "to": "b",
            "moves": "1",
            "median": "20.0",
            "median_low": "",
            "median_high": "",
            "tenth": "20.0",
            "nine_tenths": "20.0",
        }
    ]
    assert rows[2] == [{"from": "a", "to": "b", "journeys": "1", "share": "1.0000", "share_low": "", "share_high": ""}]
    assert TravelTimes.read(written[3], 600) == travel


def test_a_limit_of_one_direction_is_not_read_as_one_of_the_other(tmp_path):
    linking = Linking(
        (journey(1, ("a", 1.7e9)),), TravelTimes({("a", "b"): (5.0, 60.0)}, 600), True, 1, 1, 1, 1.0, 0, ()
    )
    again = TravelTimes.read(write_tables(linking, tmp_path)[3], 900)
    assert again.between("a", "b") == (5.0, 60.0)
    assert again.between("b", "a") == (5e-324, 600.0)
