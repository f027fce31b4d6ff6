import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samecar.errors import SamecarError
from samecar.retrieval.records import Sighting
from samecar.retrieval.times import find_time, parse_recorded_time, parse_time, time_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01", 0),
        ("1970-01-02T00:00", 86400),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00Z", 0),
        (" 19700101T000001.5 ", 1.5),
        ("12.25", 12.25),
        ("-1", -1),
    ],
)
def test_iso_8601_and_seconds_are_understood_and_no_zone_is_utc(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01", "nan", "inf", "1e300", "0001-01-01T00:00:00+23:00"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(SamecarError, match=r"^time '.*' cannot be understood; write ISO 8601 such as 2024-05-01T12:30"):
        time_text(parse_time(text))


@pytest.mark.parametrize("text", ["0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00"])
def test_a_zone_that_leads_out_of_the_years_is_refused_with_what_was_given(text):
    with pytest.raises(SamecarError, match=rf"^time '{re.escape(text)}' cannot be understood"):
        parse_time(text)


@pytest.mark.parametrize("text", ["2024", "20240501", " 20240229 ", "1970", "99991231"])
def test_digits_that_may_be_a_date_are_refused_with_both_ways_to_write_them(text):
    with pytest.raises(
        SamecarError, match=rf"^time '{text}' may be a date or seconds since 1970; .* {text.strip()}\.0$"
    ):
        parse_time(text)
    assert parse_recorded_time(f"{text.strip()}.0") == parse_time(f"{text.strip()}.0") == int(text)


def test_in_sources_four_digits_are_seconds_but_a_day_is_refused():
    assert parse_recorded_time("2024") == 2024
    for text in ("20240501", " 19991231 "):
        with pytest.raises(SamecarError, match=f"^time '{text}' may be a date or seconds since 1970"):
            parse_recorded_time(text)


@pytest.mark.parametrize("parse", [parse_time, parse_recorded_time])
@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("20240501_123000", "2024-05-01T12:30:00Z"),
        ("20240501-123000", "2024-05-01T12:30:00Z"),
        ("20240501123000", "2024-05-01T12:30:00Z"),
        ("20240501_1230", "2024-05-01T12:30:00Z"),
        ("2024_05_01", "2024-05-01T00:00:00Z"),
        ("2024_05_01_12_30_59", "2024-05-01T12:30:59Z"),
        ("2024-05-01_12-30-59", "2024-05-01T12:30:59Z"),
        ("2024-05-01-12-30-59", "2024-05-01T12:30:59Z"),
        ("2024-05-01_12:30:59.25", "2024-05-01T12:30:59.250000Z"),
        ("20240501T123000+0200", "2024-05-01T10:30:00Z"),
        ("20240501_123000Z", "2024-05-01T12:30:00Z"),
    ],
)
def test_moments_as_cameras_write_them_into_names(parse, text, iso):
    assert time_text(parse(text)) == iso


@pytest.mark.parametrize("parse", [parse_time, parse_recorded_time])
@pytest.mark.parametrize(
    "text",
    [
        "240501_123000",  # two digits of a year
        "240501123000",
        "200501121500",  # 2020-05-01 12:15, or 2005-01-12 15:00
        "01052024_123000",
        "20_05_01",
        "1714566600000",  # milliseconds
        "9999999999",
        "1_714_566_600",
        "1e9",
        "１７１４",
        "2024_05-01",
        "2024_13_01",
        "20240501_253000",
        "2024-05-01+02:00",  # a day with a zone, which Python reads as two o'clock
        "2024-05-01-05:00",
        "2024-05-01x12:30",
    ],
)
def test_a_time_that_may_mean_something_else_is_refused_as_it_was_written(parse, text):
    with pytest.raises(SamecarError, match=f"^time '{re.escape(text)}' "):
        parse(text)


def test_a_number_of_tomorrow_is_seconds_and_one_of_later_days_is_refused():
    now = time.time()
    assert parse_time(f"{now + 3600:.3f}") == pytest.approx(now + 3600, abs=0.001)
    with pytest.raises(SamecarError, match="lies in the future; write the moment as"):
        parse_recorded_time(str(int(now + 3 * 86400)))


@pytest.mark.parametrize("text", ["20241301", "20230229", "00000000", "0000", "12", "202405", "1714566600", "-2024"])
def test_digits_that_are_no_date_are_seconds(text):
    assert parse_time(text) == parse_recorded_time(text) == int(text)


@given(st.integers(-60_000_000_000, 250_000_000_000))
def test_a_time_that_was_written_is_read_again(seconds):
    assert parse_time(time_text(seconds)) == seconds


def test_times_are_written_in_utc():
    assert time_text(1714566600) == "2024-05-01T12:30:00Z"
    assert time_text(0.25) == "1970-01-01T00:00:00.250000Z"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e300, -1e12])
def test_no_sighting_has_a_time_that_cannot_be_told(seconds):
    with pytest.raises(SamecarError, match="cannot be understood"):
        Sighting("content", time=seconds)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("gate_20240501_123000", "2024-05-01T12:30:00Z"),
        ("2024-05-01T12-30-00.25", "2024-05-01T12:30:00.250000Z"),
        ("20240501123000500", "2024-05-01T12:30:00.500000Z"),
        ("img_20240501_123000_500_gate", "2024-05-01T12:30:00.500000Z"),
        ("2024-05-01 12:30:00+0200", "2024-05-01T10:30:00Z"),
        ("20240501_1230", "2024-05-01T12:30:00Z"),
        ("20240501_123000_7", "2024-05-01T12:30:00Z"),  # one digit counts something else
        ("1714566600.25", "2024-05-01T12:30:00.250000Z"),
    ],
)
def test_a_name_tells_a_moment(name, moment):
    assert time_text(find_time(name)) == moment


@pytest.mark.parametrize("name", ["000123", "frame0007", "20240501", "20249901_123000", "gate", "cam_99999999"])
def test_a_name_that_counts_or_tells_a_day_alone_tells_no_moment(name):
    assert find_time(name) is None


def test_a_name_that_tells_two_moments_is_refused():
    with pytest.raises(SamecarError, match="tells 2 moments; leave one in it"):
        find_time("20240501_123000-20240501_123100")
