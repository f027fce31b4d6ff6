"""The sightings of a gallery: its entries, of which those of one track count as one."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from samecar.retrieval.records import Entry


@dataclass(frozen=True)
class Sighting:
    """A passage of a vehicle by one camera.

    Attributes:
        entries: its pictures, in the order of time and content.
        camera_id: "" where it is not known.
        start: seconds since 1970 of its first picture; None where there is no usable time.
        end: of its last picture; None likewise.
        track_id: "" for a picture that belongs to no track.
        vehicle_id: the vehicle, if somebody knows it.
    """

    entries: tuple[Entry, ...]
    camera_id: str
    start: float | None
    end: float | None
    track_id: str
    vehicle_id: str

    @property
    def content(self) -> str:
        """What it is told from others by, however it is numbered: the lowest content of its pictures."""
        return min(entry.sighting.content for entry in self.entries)


@dataclass(frozen=True, eq=False)
class Sightings:
    """All sightings, in the order of their contents.

    Attributes:
        all: each of them.
        notes: a sentence for whatever has to be known of times and tracks.
    """

    all: tuple[Sighting, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.all)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names, each once, in their order."""
        return tuple(sorted({sighting.camera_id for sighting in self.all}))

    def of_entries(self) -> dict[int, int]:
        """The number of its sighting for each entry's."""
        return {entry.id: number for number, sighting in enumerate(self.all) for entry in sighting.entries}

    def starts(self) -> NDArray[np.float64]:
        """(sightings,) NaN where there is no usable time."""
        return _as_array(sighting.start for sighting in self.all)

    def ends(self) -> NDArray[np.float64]:
        """(sightings,) NaN where there is no usable time."""
        return _as_array(sighting.end for sighting in self.all)


def gather_sightings(entries: Iterable[Entry], window: float, *, untimed: bool = True) -> Sightings:
    """Makes sightings of entries.

    Pictures by one camera with one track are one sighting, but not over a gap in time of more than the window, since
    trackers count anew each day, nor where people know its pictures as different vehicles. A camera whose pictures all
    bear one moment has no usable times.

    Args:
        entries: of a gallery, in any order.
        window: most seconds between two pictures of a track.
        untimed: whether to keep sightings without a usable time.
    """
    listed = list(entries)
    frozen = _find_frozen_cameras(listed)
    found: list[Sighting] = []
    mixed: list[str] = []
    for key, group in groupby(sorted(listed, key=_track_order), key=_track_key):
        members = list(group)
        if key is None:
            found += [_make_sighting([entry], frozen) for entry in members]
            continue
        for part in _split_at_gaps(members, window):
            names = {entry.sighting.vehicle_id for entry in part} - {""}
            if len(names) > 1:
                mixed.append(f"{key[1]} of camera {key[0] or 'unknown'}")
            parts = [part] if len(names) < 2 else _split_by_name(part)
            found += [_make_sighting(each, frozen) for each in parts]
    without = sum(sighting.start is None for sighting in found)
    kept = [sighting for sighting in found if untimed or sighting.start is not None]
    notes = [*_note_times(frozen, without, untimed), *_note_tracks(mixed)]
    return Sightings(tuple(sorted(kept, key=lambda sighting: sighting.content)), tuple(notes))


def _track_key(entry: Entry) -> tuple[str, str] | None:
    sighting = entry.sighting
    return (sighting.camera_id, sighting.track_id) if sighting.track_id else None


def _track_order(entry: Entry) -> tuple[bool, str, str, tuple[bool, float], str]:
    sighting = entry.sighting
    known = sighting.track_id != ""
    return known, sighting.camera_id if known else "", sighting.track_id, _moment(entry), sighting.content


def _moment(entry: Entry) -> tuple[bool, float]:
    time = entry.sighting.time
    return time is None, time or 0.0


def _split_at_gaps(members: list[Entry], window: float) -> list[list[Entry]]:
    """Parts of a track in the order of time; what has no time goes with the last part."""
    parts: list[list[Entry]] = []
    for entry in members:
        time, before = entry.sighting.time, parts[-1][-1].sighting.time if parts else None
        if not parts or (time is not None and before is not None and time - before > window):
            parts.append([])
        parts[-1].append(entry)
    return parts


def _split_by_name(members: list[Entry]) -> list[list[Entry]]:
    by_name: dict[str, list[Entry]] = {}
    for entry in members:
        by_name.setdefault(entry.sighting.vehicle_id, []).append(entry)
    return [by_name[name] for name in sorted(by_name)]


def _make_sighting(members: list[Entry], frozen: set[str]) -> Sighting:
    first = members[0].sighting
    times = [] if first.camera_id in frozen else [entry.sighting.time for entry in members]
    known = [time for time in times if time is not None]
    names = {entry.sighting.vehicle_id for entry in members} - {""}
    return Sighting(
        entries=tuple(members),
        camera_id=first.camera_id,
        start=min(known, default=None),
        end=max(known, default=None),
        track_id=first.track_id,
        vehicle_id=min(names, default=""),
    )


def _find_frozen_cameras(entries: list[Entry]) -> set[str]:
    """Cameras whose pictures, two or more, all bear one moment."""
    times: dict[str, set[float]] = {}
    pictures: dict[str, int] = {}
    for entry in entries:
        camera, time = entry.sighting.camera_id, entry.sighting.time
        if time is not None:
            times.setdefault(camera, set()).add(time)
            pictures[camera] = pictures.get(camera, 0) + 1
    return {camera for camera, moments in times.items() if len(moments) == 1 and pictures[camera] > 1}


def _note_times(frozen: set[str], without: int, untimed: bool) -> list[str]:
    notes = []
    if frozen:
        names = ", ".join(sorted(camera or "unknown" for camera in frozen))
        notes.append(f"all pictures of these cameras bear one moment each, which is no usable time: {names}")
    if without:
        what = "linked by appearance alone" if untimed else "left out"
        sightings = "1 sighting has" if without == 1 else f"{without:,} sightings have"
        notes.append(f"{sightings} no usable time: {what}")
    return notes


def _note_tracks(mixed: list[str]) -> list[str]:
    if not mixed:
        return []
    more = f" and {len(mixed) - 3:,} more" if len(mixed) > 3 else ""
    named = ", ".join(mixed[:3])
    return [f"pictures of one track are known as different vehicles, and are taken apart: track {named}{more}"]


def _as_array(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)
