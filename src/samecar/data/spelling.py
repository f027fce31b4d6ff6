"""Names that look alike and probably mean one thing, and labels that are hardly meant."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from samecar.data.manifest import Manifest
from samecar.errors import first_few

FEWEST: Final = 20
"""Pictures from which on it is odd that most have a camera of their own."""

_PARTS: Final = re.compile(r"[^\W\d_]+|\d+|[^\w\s.\-]")
_WHOLE_NUMBER: Final = re.compile(r"(\d+)\.0+")
_CAMERA_NUMBER: Final = re.compile(r"(?:camera|cam|c)[\s_.\-]*(?=\d)")


def label_warnings(manifest: Manifest) -> Iterator[str]:
    """A sentence on each kind of label whose names look alike, on paths that do, and on as many cameras as pictures."""
    for column, name in (("camera_id", "cameras"), ("vehicle_id", "vehicles")):
        yield from spelling_warning(manifest.column(column).tolist(), name)
    paths = _groups((path, _path_key(path)) for path in sorted(set(manifest.path.tolist())))
    if paths:
        yield f"{len(paths):,} paths differ only in case or in how letters are composed: {_pairs(paths)}"
    yield from _too_many_cameras(manifest.camera_id)


def spelling_warning(names: Iterable[str], kind: str) -> Iterator[str]:
    """A sentence on names that look alike, if any do.

    Args:
        names: of cameras or vehicles; "" is none.
        kind: what they are names of, 'cameras' or 'vehicles'.
    """
    alike = similar_names(names, cameras=kind == "cameras")
    if alike:
        yield (
            f"{len(alike):,} {kind} are probably spelled in several ways, and count as different ones: "
            f"{_pairs(alike)}; spell each in one way"
        )


def similar_names(names: Iterable[str], *, cameras: bool = False) -> list[list[str]]:
    """Groups of different names that differ only in case, zeros before a number, .0 after it, or signs that part words.

    Args:
        names: "" is none.
        cameras: the words 'camera', 'cam' and 'c' before a number do not count either.
    """
    return _groups((name, _name_key(name, cameras)) for name in sorted({str(name) for name in names} - {""}))


def names_like(name: str, names: Iterable[str], *, cameras: bool = False) -> list[str]:
    """Other names that look like this one."""
    key = _name_key(name, cameras)
    return [other for other in sorted(set(names)) if other not in ("", name) and _name_key(other, cameras) == key]


def similar_paths(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Paths of files that differ from those given in case alone, or in how letters are composed, by the given ones."""
    listings: dict[Path, dict[tuple[str, ...], str]] = {}

    def find(path: str) -> str | None:
        found = Path()
        for part in PurePath(path).parts:
            folder = root / found
            if not folder.is_dir():
                return None
            if folder not in listings:
                listings[folder] = {_path_key(inner.name): inner.name for inner in folder.iterdir()}
            if _path_key(part) not in listings[folder]:
                return None
            found /= part if (folder / part).exists() else listings[folder][_path_key(part)]
        return found.as_posix()

    relative = (path for path in paths if not PurePath(path).is_absolute())
    return {path: other for path in relative if (other := find(path)) and (root / other).is_file()}


def _name_key(name: str, cameras: bool) -> tuple[str, ...]:
    text = unicodedata.normalize("NFKC", name).casefold().strip()
    text = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")  # has no width
    text = _WHOLE_NUMBER.sub(r"\1", text) if _WHOLE_NUMBER.fullmatch(text) else text
    text = _CAMERA_NUMBER.sub("", text, count=1) if cameras and _CAMERA_NUMBER.match(text) else text
    sign = ("-",) if text.startswith("-") else ()
    return (*sign, *(part.lstrip("0") or "0" if part.isdecimal() else part for part in _PARTS.findall(text)))


def _path_key(path: str) -> tuple[str, ...]:
    return (unicodedata.normalize("NFC", path).casefold(),)


def _groups(keyed: Iterable[tuple[str, tuple[str, ...]]]) -> list[list[str]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, key in keyed:
        groups.setdefault(key, []).append(name)
    return [group for key, group in groups.items() if len(group) > 1 and key]


def _pairs(groups: list[list[str]]) -> str:
    return first_few(" = ".join(map(repr, group)) for group in groups)


def _too_many_cameras(cameras: NDArray[np.str_]) -> Iterator[str]:
    known = cameras[cameras != ""]
    different = len(np.unique(known))
    if len(known) >= FEWEST and 2 * different > len(known):
        yield (
            f"{different:,} cameras for {len(known):,} pictures are hardly meant; look whether camera_id is what tells "
            "cameras apart"
        )
