from itertools import pairwise

import pytest

from samecar.films.live.timing import SteadyChooser, StreamClock


def test_without_a_clock_of_its_own_a_frame_was_taken_when_it_came():
    clock = StreamClock()
    assert [clock.read(None, arrival) for arrival in (1.0, 1.3, 7.0)] == [1.0, 1.3, 7.0]


def test_frames_are_as_far_apart_as_the_stream_says_however_they_come():
    clock = StreamClock()
    stamps, arrivals = [100.0, 100.2, 100.4, 100.6], [5.0, 5.1, 5.9, 5.9]  # in bursts
    assert [clock.read(*pair) for pair in zip(stamps, arrivals, strict=True)] == pytest.approx([5.0, 5.2, 5.4, 5.6])


def test_a_clock_that_runs_away_is_set_anew():
    """By hand: at 40 % of the true speed the third frame is 3 seconds late, which is more than is borne."""
    clock = StreamClock()
    assert [clock.read(0.4 * second, second) for second in (0.0, 2.0, 5.0, 6.0)] == pytest.approx([0, 0.8, 5.0, 5.4])


def test_times_rise_also_where_a_stream_sends_faster_than_time_goes_by():
    clock = StreamClock()
    times = [clock.read(stamp, 1.0) for stamp in (0.0, 1.0, 2.0, 3.0, 4.0)]
    assert all(later > earlier for earlier, later in pairwise(times))
    assert times[-1] < 1.01


def test_what_a_camera_had_kept_before_it_was_connected_is_not_in_the_future():
    """Two seconds at once, then a frame every 0.2 s: by hand the first of these is taken when it comes."""
    clock = StreamClock()
    kept = [clock.read(place / 5, 10.0) for place in range(10)]
    assert kept[-1] < 10.26
    assert [clock.read((10 + place) / 5, 10.2 + place / 5) for place in range(3)] == pytest.approx(
        [10.2, 10.4, 10.6], abs=0.26
    )


def test_another_connection_may_count_from_elsewhere():
    clock = StreamClock()
    assert clock.read(9_000.0, 1.0) == 1.0
    clock.set_anew()
    assert clock.read(9_000.5, 4.0) == 4.0  # else 1.5 by the clock of before


@pytest.mark.parametrize(("own", "wanted", "expected"), [(25, 5, 50), (10, 5, 50), (5, 5, 50), (4, 5, 40), (30, 5, 50)])
def test_so_many_frames_a_second_are_chosen(own, wanted, expected):
    chooser = SteadyChooser(wanted)
    chosen = [place / own for place in range(10 * own) if chooser.wants(place / own)]
    assert len(chosen) == pytest.approx(expected, abs=1)
    gaps = [later - earlier for earlier, later in pairwise(chosen)]
    assert max(gaps) <= 1 / wanted + 1 / own


def test_uneven_frames_at_the_rate_that_is_wanted_are_all_chosen():
    """A camera of 5 a second whose frames come up to 40 ms early or late, looked at 5 times a second."""
    late = [0, 0.04, -0.04, 0.02, -0.03, 0.04, -0.04, 0.01]
    chooser = SteadyChooser(5)
    assert all(chooser.wants(place / 5 + shift) for place, shift in enumerate(late))


def test_after_a_pause_nothing_is_made_up_for():
    chooser = SteadyChooser(5)
    assert chooser.wants(0.0)
    assert [chooser.wants(60 + step / 50) for step in range(10)] == [True] + [False] * 7 + [True, False]
