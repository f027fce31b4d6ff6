"""The source `folder:`: labels from file names by a pattern that is part of the path."""

import difflib
import re
from pathlib import Path, PurePath

from samecar.data.manifest import COLUMNS, Manifest
from samecar.data.pictures import PICTURE_SUFFIXES
from samecar.data.sources.listings import picture_names, require_folder
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

    Pictures whose names are not UTF-8 are left out, with a warning.

    Without a pattern every picture below the folder is taken, unlabelled. A pattern without `{split}` makes every
    picture `train`, or `gallery` if there is no `{vehicle_id}` either.

    Raises:
        SamecarError: there is no such folder, it holds no picture, the pattern is wrong, or it matches none.
    """
    root, pattern = _split_path(path)
    require_folder(root)
    expression = _compile_pattern(pattern, str(path))
    every = list(picture_names(root))
    names = [name for name in every if _is_text(name)]
    strange = [ascii(name) for name in every if not _is_text(name)]
    if strange and not names:
        raise SamecarError(f"no picture in {root} has a name that is UTF-8: {first_few(strange)}; rename the files")
    if not names:
        raise SamecarError(f"folder {root} holds no pictures; it needs files that end in {', '.join(PICTURE_SUFFIXES)}")
    matches = {name: expression.fullmatch(name) for name in names}
    others = [name for name, match in matches.items() if match is None]
    if len(others) == len(names):
        deeper = f"**/{pattern}"
        found = sum(bool(_compile_pattern(deeper, deeper).fullmatch(name)) for name in names)
        raise SamecarError(
            f"pattern {pattern!r} matches none of the {len(names):,} pictures in {root}; their names are like "
            f"{first_few(names)}" + (f"; {deeper!r} would match {found:,}" if found else "")
        )
    split = "train" if "{vehicle_id}" in pattern else "gallery"
    rows = [
        {"vehicle_id": "", "camera_id": "", "split": split, **match.groupdict(), "path": name}
        for name, match in matches.items()
        if match is not None
    ]
    warnings = []
    if others:
        warnings.append(f"{len(others):,} pictures do not match {pattern!r} and are left out: {first_few(others)}")
    if strange:
        warnings.append(f"left out because their names are not UTF-8: {first_few(strange)}; rename the files")
    return Manifest.from_rows(root, rows, source="folder", warnings=tuple(warnings))


def _is_text(name: str) -> bool:
    """Whether a file's name is UTF-8; where it is not, Python stands in surrogates for its bytes."""
    return name.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in name)


def _split_path(path: Path) -> tuple[Path, str]:
    parts = PurePath(path).parts
    first = next((i for i, part in enumerate(parts) if _SPECIAL.search(part)), len(parts))
    pattern = "/".join(parts[first:]) or "**/*"
    return Path(*parts[:first]), pattern


def _compile_pattern(pattern: str, given: str) -> re.Pattern[str]:
    if pattern.endswith("}"):
        raise SamecarError(
            f"folder pattern {given!r} ends in a field, which would take the suffix in; end it with .jpg or .*"
        )
    seen: set[str] = set()
    *folders, name = pattern.split("/")
    expression = "".join("(?:[^/]+/)*" if part == "**" else _part(part, given, seen) + "/" for part in folders)
    return re.compile(expression + _part(name, given, seen))


def _part(part: str, given: str, seen: set[str]) -> str:
    if "**" in part:
        raise SamecarError(f"folder pattern {given!r}: ** must stand alone between slashes; inside a name use *")
    return "".join(_piece(piece, given, seen) for piece in _FIELD_OR_STAR.split(part))


def _piece(piece: str, given: str, seen: set[str]) -> str:
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
    return f"(?P<{name}>[^/]+{'' if name == 'vehicle_id' else '?'})"
