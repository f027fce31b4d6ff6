"""Times: seconds since 1970 inside, ISO 8601 in UTC outside."""

import re
import time
from datetime import UTC, date, datetime

from samecar.errors import SamecarError

DAY = 86_400.0
"""Seconds by which a number may lie ahead of this machine's clock; a later one is hardly seconds since 1970."""

STAMP_YEARS = range(1970, 2100)
"""Years that a date without ISO's separators may have: another number there is a day, or a year of two digits."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)
_BARE_DATE = re.compile(r"(\d{4})(?:(\d\d)(\d\d))?", re.ASCII)
_ISO = re.compile(r"[0-9W-]+(?:[Tt ].+)?", re.ASCII)
_STAMP = re.compile(
    r"(\d{4})([-_]?)(\d\d)\2(\d\d)"  # the day
    r"(?:(?!-\d\d:?\d\d$)"  # a zone alone is no moment
    r"[-_Tt ]?(\d\d)([-_:]?)(\d\d)(?:\6(\d\d)(\.\d+)?)?(Z|z|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_MOMENT = re.compile(
    r"(?<!\d)(\d{4}([-_]?)\d\d\2\d\d[-_Tt ]?\d\d([-_:]?)\d\d)"  # to the minute
    r"(?:\3(\d\d)(?:\.(\d+)|[-_]?(\d{6}|\d{3}))?)?(Z|[+-]\d\d:?\d\d)?(?!\d)",
    re.ASCII,
)
"""Where a moment may stand in a name: a day with hours and minutes at least."""

FEWEST_SECONDS = 100_000_000
"""Since 1970, in the name of a file: in 1973 no camera wrote files."""

_DIGITS_OF_A_DAY, _DIGITS_OF_A_MOMENT = 8, 14


def parse_time(text: str) -> float:
    """Seconds since 1970-01-01 UTC, as somebody writes them.

    That is ISO 8601 such as 2024-05-01T12:30, a moment as cameras write it into names, such as 20240501_123000 or
    2024_05_01_12_30_00, or a number of seconds. Without a zone a time is UTC; a date alone is its first moment.

    Raises:
        SamecarError: the text is none of these, may be two of them, such as 2024 and 20240501, or is a number that lies
            in the future.
    """
    if _may_be_date(text.strip()):
        raise _two_readings(text)
    return parse_recorded_time(text)


def parse_recorded_time(text: str) -> float:
    """The same of a time that stands in a source, where four digits are seconds: cameras count so.

    Raises:
        SamecarError: as of `parse_time`.
    """
    stripped = text.strip()
    stamp = _parse_stamp(stripped)
    if _NUMBER.fullmatch(stripped) and (stamp is None or len(stripped) != _DIGITS_OF_A_MOMENT):
        if stamp is not None and len(stripped) == _DIGITS_OF_A_DAY:
            raise _two_readings(text)
        return _parse_seconds(stripped, text)
    return _parse_date(stripped, text) if stamp is None else stamp


def find_time(name: str) -> float | None:
    """Seconds since 1970-01-01 UTC that a file's name tells; None if it tells none, or only a day.

    That is a moment with minutes at least, anywhere in the name, as in `gate_20240501_123000` or
    `2024-05-01T12-30-00.250`, with three or six digits of the second behind it where there are any; or a name that is
    seconds since 1970 and nothing else, as in `1714566600.25`; a number below `FEWEST_SECONDS` counts frames.

    Raises:
        SamecarError: the name tells two moments, or seconds that lie in the future.
    """
    found = set()
    for match in _MOMENT.finditer(name):
        minute, _, sign, second, *fractions, zone = match.groups("")
        fraction = "".join(fractions)
        rest = f"{sign}{second}" + (f".{fraction}" if fraction else "") if second else ""
        found.add(_parse_stamp(f"{minute}{rest}{zone}"))
    found -= {None}
    if len(found) > 1:
        raise SamecarError(f"the name {name!r} tells {len(found)} moments; leave one in it")
    if found:
        return found.pop()
    if _NUMBER.fullmatch(name) and float(name) >= FEWEST_SECONDS:
        return _parse_seconds(name, name)
    return None


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


def _parse_seconds(stripped: str, text: str) -> float:
    seconds = float(stripped)
    if seconds > time.time() + DAY:
        raise SamecarError(
            f"time {text!r} is a number and so seconds since 1970, but lies in the future; write the moment as "
            "2024-05-01T12:30:00, and divide milliseconds by 1000"
        )
    try:
        time_text(seconds)
    except SamecarError as error:
        raise _refusal(text) from error
    return seconds


def _parse_stamp(stripped: str) -> float | None:
    """The moment of a date that is written as cameras do; None if it is none."""
    stamp = _STAMP.fullmatch(stripped)
    if stamp is None or int(stamp[1]) not in STAMP_YEARS:
        return None
    year, _, month, day, hour, _, minute, second, fraction, zone = stamp.groups("")
    try:
        return _utc_seconds(f"{year}-{month}-{day}T{hour or '00'}:{minute or '00'}:{second or '00'}{fraction}{zone}")
    except ValueError:
        return None


def _utc_seconds(iso: str) -> float:
    moment = datetime.fromisoformat(iso)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _parse_date(stripped: str, text: str) -> float:
    if not _ISO.fullmatch(stripped):  # Python takes any sign between date and time, also that of a zone
        raise _refusal(text)
    try:
        seconds = _utc_seconds(stripped)
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


def _two_readings(text: str) -> SamecarError:
    return SamecarError(
        f"time {text!r} may be a date or seconds since 1970; write the date as 2024-05-01, or the seconds with a "
        f"point, as in {text.strip()}.0"
    )


def _refusal(text: str) -> SamecarError:
    return SamecarError(
        f"time {text!r} cannot be understood; write ISO 8601 such as 2024-05-01T12:30:00+02:00 (without a zone it is "
        "UTC), or seconds since 1970"
    )
