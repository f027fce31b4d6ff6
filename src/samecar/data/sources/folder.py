"""The source `folder:`: labels from file names by a pattern that is part of the path."""

import difflib
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath

from samecar.data.manifest import COLUMNS, Manifest
from samecar.data.pictures import PICTURE_SUFFIXES
from samecar.data.sources.listings import require_folder
from samecar.data.sources.readings import Reading, second_reading
from samecar.data.sources.walking import picture_names
from samecar.errors import SamecarError, first_few

FIELDS = tuple(name for name in COLUMNS if name != "path")

_FIELD_OR_STAR = re.compile(r"(\{[^{}]*\}|\*)")
_SPECIAL = re.compile(r"[{}*]")
_SUFFIX = re.compile(rf"(?:{'|'.join(re.escape(suffix) for suffix in PICTURE_SUFFIXES)})$", re.IGNORECASE)


def folder(path: Path) -> Manifest:
    """Reads a folder of pictures whose names say what they show.

    The path may hold a pattern, for example `crops/{vehicle_id}_{camera_id}.jpg` or
    `crops/{split}/{vehicle_id}/{camera_id}_*.png`. Its parts before the first field or wildcard are the root; only what
    lies below the root is matched, so that a parent folder's name never becomes a label.

    - `{field}` is one of the manifest's columns and stands for one or more characters without a slash. `{vehicle_id}`
      takes as many as it can, every other field as few: `{vehicle_id}_{camera_id}.jpg` reads `car_0003_cam1.jpg` as
      vehicle `car_0003` and camera `cam1`. A field that comes twice must stand for the same text both times.
    - `*` stands for any characters without a slash, as few as possible, or none.
    - `**` between slashes stands for any folders, or none.
    - A picture suffix at the end is matched in any case of letters.

    Linked folders are followed, each real folder once. What is left out is counted and named in a warning: pictures
    that do not match, that are hidden, or whose names are not UTF-8, thumbnails of network disks, and files that do
    not end as pictures do. A pattern that can be read in two ways is named too, unless only the one that is taken makes
    sense.

    Without a pattern every picture below the folder is taken, unlabelled. A pattern without `{split}` makes every
    picture `train`, or `gallery` if there is no `{vehicle_id}` either.

    Raises:
        SamecarError: there is no such folder, it holds no picture, the pattern is wrong, or it matches none.
    """
    root, pattern = _split_path(path)
    require_folder(root)
    expression = _compile_pattern(pattern, str(path))
    warnings: list[str] = []
    every = list(picture_names(root, warnings))
    names = [name for name in every if _is_text(name)]
    strange = [ascii(name) for name in every if not _is_text(name)]
    if strange and not names:
        raise SamecarError(f"no picture in {root} has a name that is UTF-8: {first_few(strange)}; rename the files")
    if not names:
        found = f"; found were only: {'; '.join(warnings)}" if warnings else ""
        raise SamecarError(
            f"folder {root} holds no pictures; it needs files that end in {', '.join(PICTURE_SUFFIXES)}{found}"
        )
    matches = {name: match for name in names if (match := expression.fullmatch(name))}
    others = [name for name in names if name not in matches]
    if not matches:
        raise SamecarError(_mismatch(root, pattern, names))
    split = "train" if "{vehicle_id}" in pattern else "gallery"
    rows = [
        {"vehicle_id": "", "camera_id": "", "split": split, **match.groupdict(), "path": name}
        for name, match in matches.items()
    ]
    if others:
        warnings.append(f"{len(others):,} pictures do not match {pattern!r} and are left out: {first_few(others)}")
    if strange:
        warnings.append(f"left out because their names are not UTF-8: {first_few(strange)}; rename the files")
    if doubt := second_reading(
        pattern, list(matches), [match.groupdict() for match in matches.values()], _reader(matches)
    ):
        warnings.append(doubt)
    return Manifest.from_rows(root, rows, source="folder", warnings=tuple(warnings))


def _mismatch(root: Path, pattern: str, names: list[str]) -> str:
    deeper = f"**/{pattern}"
    found = sum(bool(_compile_pattern(deeper, deeper).fullmatch(name)) for name in names)
    return (
        f"pattern {pattern!r} matches none of the {len(names):,} pictures in {root}; their names are like "
        f"{first_few(names)}" + (f"; {deeper!r} would match {found:,}" if found else "")
    )


def _reader(names: Iterable[str]) -> Callable[[str, str], Reading | None]:
    """Reads the same names by other patterns, or with another field that takes as much as it can."""

    def read(pattern: str, longest: str) -> Reading | None:
        expression = _compile_pattern(pattern, pattern, longest)
        matches = [expression.fullmatch(name) for name in names]
        return [match.groupdict() for match in matches if match] if all(matches) else None

    return read


def _is_text(name: str) -> bool:
    """Whether a file's name is UTF-8; where it is not, Python stands in surrogates for its bytes."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def _split_path(path: Path) -> tuple[Path, str]:
    parts = PurePath(path).parts
    first = next((i for i, part in enumerate(parts) if _SPECIAL.search(part)), len(parts))
    pattern = "/".join(parts[first:]) or "**/*"
    return Path(*parts[:first]), pattern


def _compile_pattern(pattern: str, given: str, longest: str = "vehicle_id") -> re.Pattern[str]:
    """What a name must match; `longest` is the field that takes as many characters as it can."""
    if pattern.endswith("}"):
        raise SamecarError(
            f"folder pattern {given!r} ends in a field, which would take the suffix in; end it with .jpg or .*"
        )
    seen: set[str] = set()
    *folders, name = pattern.split("/")
    expression = "".join("(?:[^/]+/)*" if part == "**" else _part(part, given, seen, longest) + "/" for part in folders)
    return re.compile(expression + _part(name, given, seen, longest))


def _part(part: str, given: str, seen: set[str], longest: str) -> str:
    if "**" in part:
        raise SamecarError(f"folder pattern {given!r}: ** must stand alone between slashes; inside a name use *")
    return "".join(_piece(piece, given, seen, longest) for piece in _FIELD_OR_STAR.split(part))


def _piece(piece: str, given: str, seen: set[str], longest: str) -> str:
    if piece == "*":
        return "[^/]*?"
    if not _SPECIAL.search(piece):
        suffix = _SUFFIX.search(piece)
        if suffix is None:
            return re.escape(piece)
        return f"{re.escape(piece[: suffix.start()])}(?i:{re.escape(suffix[0])})"
    name = piece[1:-1]
    if not re.fullmatch(r"\{[^{}]*\}", piece):
        raise SamecarError(
            f"folder pattern {given!r} has a brace without its partner; fields are written {{vehicle_id}}"
        )
    if name not in FIELDS:
        nearest = difflib.get_close_matches(name, FIELDS, n=1)
        hint = f"did you mean {{{nearest[0]}}}?" if nearest else f"known are {', '.join(FIELDS)}"
        raise SamecarError(f"folder pattern {given!r} has an unknown field {piece}; {hint}")
    if name in seen:
        return f"(?P={name})"
    seen.add(name)
    return f"(?P<{name}>[^/]+{'' if name == longest else '?'})"
