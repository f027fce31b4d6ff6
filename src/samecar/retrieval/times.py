"""Times: seconds since 1970 inside, ISO 8601 in UTC outside."""

import math
import re
from datetime import UTC, date, datetime

from samecar.errors import SamecarError

_BARE_DATE = re.compile(r"(\d{4})(?:(\d\d)(\d\d))?")


def parse_time(text: str) -> float:
    """Seconds since 1970-01-01 UTC, as somebody writes them: ISO 8601 such as 2024-05-01T12:30, or such a number.

    Without a zone a time is UTC; a date alone is its first moment.

    Raises:
        SamecarError: the text is neither, or may be both, such as 2024 and 20240501.
    """
    if _may_be_date(text.strip()):
        raise SamecarError(
            f"time {text!r} may be a date or seconds since 1970; write the date as 2024-05-01, or the seconds with a "
            f"point, as in {text.strip()}.0"
        )
    return parse_recorded_time(text)


def parse_recorded_time(text: str) -> float:
    """The same of a time that stands in a source, where any number is one of seconds: cameras count so.

    Raises:
        SamecarError: the text is neither.
    """
    stripped = text.strip()
    try:
        seconds = float(stripped)
    except ValueError:
        return _parse_date(stripped, text)
    if not math.isfinite(seconds):
        raise _refusal(text)
    time_text(seconds)
    return seconds


def time_text(seconds: float) -> str:
    """ISO 8601 in UTC, such as 2024-05-01T12:30:00Z, with a fraction where there is one.

    Raises:
        SamecarError: the time lies outside the years 1 to 9999.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError) as error:
        raise _refusal(str(seconds)) from error


def known_time_text(seconds: float | None) -> str | None:
    """The same of a time that may not be known, which stays None."""
    return None if seconds is None else time_text(seconds)


def _parse_date(stripped: str, text: str) -> float:
    try:
        moment = datetime.fromisoformat(stripped)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = moment.timestamp()
        time_text(seconds)  # its zone may take it out of the years 1 to 9999
    except (ValueError, OverflowError, SamecarError) as error:
        raise _refusal(text) from error
    return seconds


def _may_be_date(digits: str) -> bool:
    """Whether digits alone are a year, or a year, a month and a day."""
    bare = _BARE_DATE.fullmatch(digits)
    if bare is None:
        return False
    try:
        date(*(int(part or 1) for part in bare.groups()))
    except ValueError:
        return False
    return True


def _refusal(text: str) -> SamecarError:
    return SamecarError(
        f"time {text!r} cannot be understood; write ISO 8601 such as 2024-05-01T12:30:00+02:00 (without a zone it is "
        "UTC), or seconds since 1970"
    )
