import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samecar.errors import SamecarError
from samecar.retrieval.records import Sighting
from samecar.retrieval.times import parse_recorded_time, parse_time, time_text


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
def test_digits_that_may_be_a_date_are_seconds_in_sources_alone(text):
    with pytest.raises(
        SamecarError, match=rf"^time '{text}' may be a date or seconds since 1970; .* {text.strip()}\.0$"
    ):
        parse_time(text)
    assert parse_recorded_time(text) == parse_time(f"{text.strip()}.0") == int(text)


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
