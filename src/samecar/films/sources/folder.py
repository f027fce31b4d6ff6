"""Frames that lie in a folder as pictures, and when they were taken."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samecar.data.pictures import UnreadablePictureError, is_picture_name, read_picture
from samecar.data.tables import TABLE_SUFFIXES, read_table
from samecar.errors import SamecarError, first_few
from samecar.films.sources.base import Chooser, Frame, FrameSource
from samecar.retrieval.times import find_time, parse_recorded_time

NAME, MODIFIED = "name", "modified"


@dataclass(frozen=True)
class FrameTimes:
    """Where the times of a folder's frames stand.

    Attributes:
        times: "name" for the files' names, "modified" for the times at which they were last written, the path of a
            table with the columns path and time, or a number: so many frames a second, in the order of their names.

    Raises:
        SamecarError: it is none of these.
    """

    times: str = NAME

    def __post_init__(self) -> None:
        table = self.times.lower().endswith(TABLE_SUFFIXES)
        if not (table or self.times in (NAME, MODIFIED) or self.rate is not None):
            raise SamecarError(
                f"times is {self.times!r}; give {NAME}, {MODIFIED}, a table that ends in .csv or .parquet, or how "
                "many frames a second there are"
            )

    @property
    def rate(self) -> float | None:
        """Frames a second, where that is what was said."""
        try:
            rate = float(self.times)
        except ValueError:
            return None
        return rate if 0 < rate < math.inf else None

    def of(self, folder: Path) -> dict[Path, float]:
        """The frames of a folder, and the time of each: since 1970-01-01 UTC or, with a rate, since the first.

        Raises:
            SamecarError: there is none, a name holds no time, or the table is none of frames.
        """
        if self.times.lower().endswith(TABLE_SUFFIXES):
            return _read_times(Path(self.times), folder)
        paths = sorted(path for path in folder.iterdir() if is_picture_name(path.name))
        if self.rate is not None:
            return {path: place / self.rate for place, path in enumerate(paths)}
        if self.times == MODIFIED:
            return {path: path.stat().st_mtime for path in paths}
        return {path: _time_in_name(path) for path in paths}


BY_NAME = FrameTimes()


class FrameFolder(FrameSource):
    """Frames as pictures in a folder, in the order of their times.

    Args:
        folder: where they lie.
        times: where their times stand.
        start: when the first was taken, in seconds since 1970-01-01 UTC, where `times` is a rate.

    Raises:
        SamecarError: there are no frames, their times cannot be understood, or a start was given beside them.
    """

    live = False
    dropped = reconnections = 0

    def __init__(self, folder: Path, times: FrameTimes = BY_NAME, start: float | None = None) -> None:
        self.folder = folder
        self.name = self.stem = folder.resolve().name
        self.given = 0
        self.reached = 0.0
        self.warnings: list[str] = []
        if times.rate is None and start is not None:
            raise SamecarError(
                f"start is given, and the frames of {folder} say themselves when they were taken; leave it out, or say "
                "how many frames a second there are (--times 25)"
            )
        taken = times.of(folder)
        if not taken:
            raise SamecarError(
                f"folder {folder} has no frames: no file in it is called as a picture, such as .jpg or .png"
            )
        unnamed = {path for path in folder.iterdir() if is_picture_name(path.name)} - taken.keys()
        if unnamed:
            self.warnings.append(f"folder {folder}: {len(unnamed):,} frames are not in {times.times} and are left out")
        first = min(taken.values())
        self._begin = start if times.rate is not None else first
        self._frames = _in_order({path: moment - first for path, moment in taken.items()})
        if len(self._frames) < len(taken):
            self.warnings.append(
                f"folder {folder}: {len(taken) - len(self._frames):,} frames have the time of another one and are left "
                "out"
            )
        gaps = np.diff([moment for moment, _ in self._frames])
        self._spacing = float(np.median(gaps)) if len(gaps) else 0.0
        self.seconds = self._frames[-1][0]

    def spacing(self, rate: float) -> float:
        """Seconds that commonly lie between two of the frames that are given at a rate."""
        return max(1 / rate, self._spacing)

    def moment(self, time: float) -> float | None:
        """Seconds since 1970-01-01 UTC at a frame's time."""
        return None if self._begin is None else self._begin + time

    def notices(self) -> list[str]:
        """None: frames are read to their end."""
        return []

    def frames(self, rate: float) -> Iterator[Frame]:
        """Frames at `rate` a second or, where there are fewer, all of them.

        Raises:
            SamecarError: not one can be read.
        """
        chooser, unreadable = Chooser(rate), []
        for time, path in self._frames:
            self.reached = time
            if not chooser.wants(time):
                continue
            try:
                picture = np.asarray(read_picture(path))
            except UnreadablePictureError as error:
                unreadable.append(f"{path.name} ({error.reason})")
                continue
            self.given += 1
            yield Frame(time, picture)
        if unreadable and not self.given:
            raise SamecarError(f"folder {self.folder} holds no frame that can be read: {first_few(unreadable)}")
        if unreadable:
            self.warnings.append(
                f"folder {self.folder}: {len(unreadable):,} frames cannot be read and are left out: "
                f"{first_few(unreadable)}"
            )


def _in_order(times: Mapping[Path, float]) -> Sequence[tuple[float, Path]]:
    """Frames by their time, the first by name of those that have the same."""
    frames: dict[float, Path] = {}
    for path in sorted(times):
        frames.setdefault(times[path], path)
    return sorted(frames.items())


def _time_in_name(path: Path) -> float:
    found = find_time(path.stem)
    if found is None:
        raise SamecarError(
            f"the name of frame {path} says no moment, such as 20240501_123000.jpg or 2024-05-01T12:30:00.250Z.jpg; "
            "say where times stand: --times modified, --times TABLE.csv with the columns path and time, or --times 25, "
            "so many frames a second"
        )
    return found


def _read_times(table: Path, folder: Path) -> dict[Path, float]:
    names, rows, _ = read_table(table, ("path", "time"), "table")
    if not {"path", "time"} <= set(names):
        raise SamecarError(f"{table} has the columns {', '.join(names)}; it needs path and time")
    path, time = names.index("path"), names.index("time")
    taken: dict[Path, float] = {}
    for row in rows:
        try:
            moment = parse_recorded_time(row[time])
        except SamecarError as error:
            raise SamecarError(f"{table}, frame {row[path]}: {error}") from error
        if taken.setdefault(folder / row[path], moment) != moment:
            raise SamecarError(f"{table} gives frame {row[path]} two times; leave one of them out")
    return taken
