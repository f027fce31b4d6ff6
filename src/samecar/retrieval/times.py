"""Times: seconds since 1970 inside, ISO 8601 in UTC outside."""

import math
from datetime import UTC, datetime

from samecar.errors import SamecarError


def parse_time(text: str) -> float:
    """Seconds since 1970-01-01 UTC, from ISO 8601 such as 2024-05-01T12:30 or from such a number itself.

    Without a zone a time is UTC; a date alone is its first moment.

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
        return moment.timestamp()
    except (ValueError, OverflowError) as error:
        raise _refusal(text) from error


def _refusal(text: str) -> SamecarError:
    return SamecarError(
        f"time {text!r} cannot be understood; write ISO 8601 such as 2024-05-01T12:30:00+02:00 (without a zone it is "
        "UTC), or seconds since 1970"
    )
