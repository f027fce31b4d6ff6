"""What the sources share: reading lists, comparing names and counts, and saying so in one sentence."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from samecar.data.manifest import Manifest
from samecar.data.tables import decode_text
from samecar.errors import SamecarError, first_few
from samecar.files import read_whole


class Counts(NamedTuple):
    """What a data set's authors say that a split holds; None where we could not verify it."""

    pictures: int
    vehicles: int
    cameras: int | None = None


def read_lines(path: Path) -> list[str]:
    """The lines of a list without blanks around them; empty ones are left out.

    Raises:
        SamecarError: the file is not text in UTF-8, or UTF-16 with a byte order mark, or cannot be read.
    """
    try:
        text = decode_text(read_whole(path))
    except (UnicodeError, OSError) as error:
        raise SamecarError(f"list {path} cannot be read as text: {error}; save it in UTF-8") from error
    return [line for line in (line.strip() for line in text.splitlines()) if line]


def find_list(folder: Path, name: str) -> Path | None:
    """A list in `train_test_split` or in the folder itself; None if it is in neither."""
    places = (folder / "train_test_split" / name, folder / name)
    return next((path for path in places if path.is_file()), None)


def require_folder(folder: Path) -> None:
    """Refuses what is not a folder.

    Raises:
        SamecarError: it is not there or is a file.
    """
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "is not there"
        raise SamecarError(f"folder {folder} {state}; give the folder that holds the data set")


def folder_hint(folder: Path, mark: str) -> str:
    """The end of a sentence where a data set does not lie in a folder but deeper; "" if it is not found there either.

    Args:
        folder: where it was looked for.
        mark: what lies in its folder, relative to it.
    """
    for pattern in ("*", "*/*"):
        for place in sorted(folder.glob(pattern)):
            if (place / mark).exists():
                return f"; it lies in {place}, which is to be given"
    return ""


def count_warnings(manifest: Manifest, published: Mapping[str, Counts]) -> Iterator[str]:
    """A sentence for each split whose counts are not the published ones; a set that we drew ourselves has none."""
    if is_drawn(manifest.root):
        return
    for split, expected in published.items():
        part = manifest.of_split(split)
        cameras = len(np.unique(part.camera_id)) if expected.cameras is not None else None
        found = Counts(len(part), len(np.unique(part.vehicle_id)), cameras)
        if found != expected:
            yield f"{split} has {_in_words(found)}; published are {_in_words(expected)}"


def is_drawn(folder: Path) -> bool:
    """Whether a folder holds pictures that samecar drew, which `drawn.json` says."""
    try:
        return isinstance(json.loads((folder / "drawn.json").read_text(encoding="utf-8")), dict)
    except (OSError, ValueError):
        return False


def difference_warning(left: Collection[str], right: Collection[str], sentence: str) -> Iterator[str]:
    """One sentence about what is in `left` but not in `right`, if anything is.

    Args:
        left: names.
        right: names.
        sentence: its end, after the number of names; the first of them follow.
    """
    missing = sorted(set(left).difference(right))
    if missing:
        yield f"{len(missing):,} {sentence}: {first_few(missing)}"


def _in_words(counts: Counts) -> str:
    cameras = "" if counts.cameras is None else f", {counts.cameras} cameras"
    return f"{counts.pictures:,} pictures, {counts.vehicles:,} vehicles{cameras}"
