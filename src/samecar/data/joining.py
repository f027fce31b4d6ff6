"""Several sets of pictures as one, to train on all of them."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from samecar.data.manifest import Manifest
from samecar.data.sources.opening import as_manifest
from samecar.data.spelling import label_warnings
from samecar.errors import SamecarError

NAMED_IN_A_SET = ("vehicle_id", "camera_id", "track_id")
"""Columns whose values mean something within their set only."""


def join_sets(sets: Sequence[Manifest | str | Path], *, same_vehicles: bool = False) -> Manifest:
    """Joins sets of pictures, whose vehicles, cameras and tracks are kept apart.

        >>> both = samecar.data.join_sets(["veri776:VeRi", "csv:own.csv"])
        >>> both.select(both.split == "train").vehicle_id[0]
        'VeRi/0001'

    The set's name, that of its folder or table, stands before each vehicle, camera and track; sets of one name are
    numbered. Unlabelled pictures stay unlabelled, those called -1 too, and every picture keeps its split.

    Args:
        sets: two or more, as manifests or sources such as `veri776:PATH`.
        same_vehicles: names mean the same in all sets, as in those of one camera system; nothing is put before them.

    Raises:
        SamecarError: there are fewer than two sets, or two of them share a picture.
    """
    if len(sets) < 2:
        raise SamecarError(f"number of sets to join is {len(sets)}; give two or more")
    parts = [as_manifest(each) for each in sets]
    root = _common_folder(parts)
    named = [
        _rename(part, root, "" if same_vehicles else f"{name}/")
        for part, name in zip(parts, set_names(parts), strict=True)
    ]
    warnings = tuple(f"{part.name}: {warning}" for part in parts for warning in part.warnings)
    try:
        joined = Manifest.concatenate(named)
    except SamecarError as error:
        raise SamecarError(f"{', '.join(part.name for part in parts)} share pictures: {error}") from error
    return replace(joined, warnings=(*warnings, *(label_warnings(joined) if same_vehicles else ())))


def set_names(sets: Sequence[Manifest]) -> list[str]:
    """What stands before the vehicles of each set, without the slash; all are different."""
    names: list[str] = []
    for part in sets:
        name = PurePath(part.file).stem or PurePath(os.path.normpath(part.root.absolute())).name or "set"
        number = next(number for number in range(1, len(sets) + 1) if _numbered(name, number) not in names)
        names.append(_numbered(name, number))
    return names


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def _common_folder(parts: Sequence[Manifest]) -> Path:
    try:
        return Path(os.path.commonpath([part.root.absolute() for part in parts]))
    except ValueError as error:
        raise SamecarError(
            f"{', '.join(str(part.root) for part in parts)} lie on different drives; put the sets on one"
        ) from error


def _rename(part: Manifest, root: Path, prefix: str) -> Manifest:
    """The same pictures below another folder, with the set's name before what is named within it."""
    place = PurePath(os.path.relpath(part.root.absolute(), root))
    columns: dict[str, Any] = {
        "path": np.array([(place / path).as_posix() for path in part.path.tolist()], dtype=np.str_)
    }
    for name in NAMED_IN_A_SET if prefix else ():
        values = part.column(name)
        known = part.labelled if name == "vehicle_id" else values != ""
        columns[name] = np.where(known, np.char.add(prefix, values), values)
    return replace(part, root=root, source="joined", file="", **columns)
