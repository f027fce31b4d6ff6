"""The frames that boxes were drawn on: which picture on disk is which."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePath

from samecar.data.manifest import Manifest
from samecar.data.sources.folder import folder
from samecar.errors import SamecarError


class Frames:
    """Frames on disk, found by their names or by their numbers.

    Args:
        place: their folder, or a pattern as `folder:` takes it.
        first: number of a film's first frame; None where frames have names.

    Attributes:
        manifest: the frames, with what their paths say of camera, time and split.
        tells_split: whether their paths say of which split they are.

    Raises:
        SamecarError: there is no frame, the paths tell vehicles, two frames have one number, or the first frame has
            another number.
    """

    def __init__(self, place: Path, first: int | None) -> None:
        if "{vehicle_id}" in str(place):
            raise SamecarError(
                f"frames {str(place)!r} tell a vehicle by {{vehicle_id}}, and a frame may show several; take it out"
            )
        self.tells_split = "{split}" in str(place)
        self.manifest: Manifest = folder(place)
        paths = self.manifest.path.tolist()
        self._by_path = {path: row for row, path in enumerate(paths)}
        self._by_name: dict[str, list[int]] = {}
        for row, path in enumerate(paths):
            self._by_name.setdefault(PurePath(path).name, []).append(row)
        self._by_number = {} if first is None else _number(paths)
        if self._by_number and first is not None:
            _refuse_another_first(place, min(self._by_number), first)

    def find(self, frame: str | int) -> int | None:
        """Row of a frame in the manifest; None if it is not there.

        Raises:
            SamecarError: several frames in different folders have that name.
        """
        if isinstance(frame, int):
            return self._by_number.get(frame)
        path = frame.replace("\\", "/")
        rows = [self._by_path[path]] if path in self._by_path else self._by_name.get(PurePath(path).name, [])
        if len(rows) > 1:
            places = " and ".join(str(self.manifest.path[row]) for row in rows[:2])
            raise SamecarError(
                f"boxes on {frame} may be of {places}; give the folder in which the boxes' names of frames begin"
            )
        return rows[0] if rows else None


def _number(paths: Sequence[str]) -> dict[int, int]:
    """Rows of frames by the last number in their names; those without one are passed over."""
    found: dict[int, int] = {}
    for row, path in enumerate(paths):
        digits = re.findall(r"[0-9]+", PurePath(path).stem)
        if not digits:
            continue
        other = found.setdefault(int(digits[-1]), row)
        if other != row:
            raise SamecarError(
                f"frames {paths[other]} and {path} have one number, and the boxes are of one film; give the folder, or "
                "the pattern, of that film's frames"
            )
    return found


def _refuse_another_first(place: Path, least: int, first: int) -> None:
    """Refuses frames that are numbered from 0 where boxes are from 1, or the other way: each box would be one off."""
    if {least, first} == {0, 1}:
        raise SamecarError(
            f"frames {place} are numbered from {least}, and the boxes from {first}, so that each box would be cut from "
            f"the frame beside its own; number the frames from {first}, as `ffmpeg -start_number {first}` does"
        )
