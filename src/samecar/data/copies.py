"""What the bytes of files tell: which rows show one and the same picture, by the file's path or by its bytes."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from samecar.data.manifest import Manifest
from samecar.data.picture_batches import read_ahead, rows_in_order
from samecar.files import read_whole

TOGETHER: Final = 64
"""Files that are read at a time."""


def name_pictures(manifest: Manifest) -> NDArray[np.str_]:
    """Names the picture of each row; rows that show one picture have the same name.

    It is the absolute path; of files of one vehicle that hold the same bytes, the path that comes first. Few files are
    read: those of one vehicle that are equally long.

    Args:
        manifest: files that are not there are copies of nothing.

    Returns:
        (pictures,).
    """
    names = name_copies(manifest)
    return np.array(manifest.absolute_paths(), dtype=np.str_) if names is None else names


def name_copies(manifest: Manifest) -> NDArray[np.str_] | None:
    """Does what `name_pictures` does where two files are copies; None where none are: a path says it all then."""
    vehicles = np.unique(manifest.vehicle_id, return_inverse=True)[1]
    sizes = np.array([_size(manifest.root / path) for path in manifest.path.tolist()], dtype=np.int64)
    groups, members = np.unique(np.stack([vehicles, sizes], axis=1), axis=0, return_inverse=True)
    several = (np.bincount(members, minlength=len(groups)) > 1) & (groups[:, 1] > 0)
    alike: dict[int, set[str]] = defaultdict(set)
    for row in np.flatnonzero(several[members]).tolist():
        alike[int(members[row])].add(os.path.abspath(manifest.absolute_path(row)))  # noqa: PTH100 - keeps symbolic links
    first_of = {name: first for paths in alike.values() for name, first in _find_copies(sorted(paths))}
    if not first_of:
        return None
    return np.array([first_of.get(name, name) for name in manifest.absolute_paths()], dtype=np.str_)


def read_digests(manifest: Manifest, threads: int) -> list[str | None]:
    """The SHA-256 of each row's file, in hexadecimal digits; None for one that cannot be read.

    Args:
        manifest: whose files.
        threads: that read; 0 reads in this one.
    """
    rows = rows_in_order(len(manifest), TOGETHER)
    with closing(read_ahead(rows, lambda row: _digest(manifest.absolute_path(row)), threads)) as batches:
        return [found for batch in batches for found in batch]


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(read_whole(path)).hexdigest()
    except (OSError, ValueError):  # whoever decodes it says so; ValueError: the name holds a null byte
        return None


def _find_copies(paths: list[str]) -> Iterable[tuple[str, str]]:
    """Each file that holds the same bytes as one before it, with the first of these."""
    if len(paths) == 1:
        return
    first_with: dict[str, str] = {}
    for path in paths:
        content = _digest(Path(path))
        if content is None:
            continue
        first = first_with.setdefault(content, path)
        if first != path:
            yield path, first


def _size(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):  # ValueError: the name holds a null byte
        return 0
