"""What is told when a vehicle of the watch list was seen, and the file that it is written to."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from samecar.errors import SamecarError
from samecar.retrieval.times import known_time_text

Tell = Callable[[str], object]
"""Is told something that a person should read, in a sentence."""

STANDARD_OUTPUT = "-"


@dataclass(frozen=True)
class Event:
    """A vehicle of the watch list was seen.

    Attributes:
        vehicle: its name in the watch list.
        picture: file of the picture there that is most like it.
        gallery: that it was added to.
        entry: number of the entry there.
        content: of the entry.
        camera_id: which camera saw it; "" where that is not known, as in the texts below.
        time: when, in seconds since 1970-01-01 UTC; None where that is not known.
        track_id: of its passage.
        address: where the entry's picture lies.
        labels: of the entry.
        similarity: cosine of both embeddings.
        threshold: that it reached.
        false_alarm_rate: share of passages of other vehicles that reach it too, as stated.
        watched: pictures in the watch list.
    """

    vehicle: str
    picture: str
    gallery: str
    entry: int
    content: str
    camera_id: str
    time: float | None
    track_id: str
    address: str
    labels: dict[str, str]
    similarity: float
    threshold: float
    false_alarm_rate: float
    watched: int

    def fields(self) -> dict[str, Any]:
        """What a line of JSON holds; `id` is the same whenever this event is told, so that it can be told twice."""
        return {
            "event": "seen",
            "id": sha256(f"{self.gallery}\n{self.content}\n{self.vehicle}".encode()).hexdigest()[:32],
            **asdict(self),
            "time": known_time_text(self.time),
            "similarity": round(self.similarity, 4),
            "threshold": round(self.threshold, 4),
        }

    def line(self) -> str:
        """As a line of JSON."""
        return json.dumps(self.fields(), ensure_ascii=True)

    def sentence(self) -> str:
        """For a person."""
        camera = f" by camera {self.camera_id}" if self.camera_id else ""
        time = f" at {known_time_text(self.time)}" if self.time is not None else ""
        place = f"entry {self.entry} of {self.gallery}"
        rate = f"{100 * self.false_alarm_rate:g} % false alarms"
        return (
            f"seen: {self.vehicle}{camera}{time}, {place} (similarity {self.similarity:.3f}, from "
            f"{self.threshold:.3f} on; {rate})"
        )


class EventFile:
    """Writes a line of JSON for each event, to the end of a file or to standard output.

    Args:
        path: of the file, which may be there already; `-` is standard output.
        warn: is told once if lines cannot be written; the work goes on.

    Raises:
        SamecarError: the file cannot be opened.
    """

    def __init__(self, path: str, warn: Tell) -> None:
        self._path, self._warn = path, warn
        self._lost = 0
        try:  # without a buffer, in which lines would stay that could not be written
            self._file = None if path == STANDARD_OUTPUT else Path(path).open("ab", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise SamecarError(
                f"events is {path!r}, which cannot be written: {(error.strerror or str(error)).lower()}; give another "
                "file, or - for standard output"
            ) from error

    def send(self, event: Event) -> None:
        """Writes an event; it is there when this returns."""
        try:
            if self._file is None:
                print(event.line(), flush=True)
            else:
                self._file.write(f"{event.line()}\n".encode())
        except OSError as error:
            self._lost += 1
            if self._lost == 1:
                self._warn(f"events cannot be written to {self._path}: {(error.strerror or str(error)).lower()}")

    def close(self) -> None:
        """Lets go of the file, and says how many events could not be written."""
        if self._lost:
            self._warn(f"{self._lost:,} events could not be written to {self._path}")
        if self._file is not None:
            self._file.close()
