"""The source `list:`: plain text with a line `PATH VEHICLE CAMERA` for each picture."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from samecar.data.manifest import Manifest
from samecar.data.pictures import is_picture_name
from samecar.data.sources.listings import read_lines
from samecar.errors import SamecarError

FILES: Final = {"train": "train.txt", "query": "query.txt", "gallery": "gallery.txt"}
"""Lists of a folder, by the split of their pictures."""

FORM: Final = "PATH VEHICLE, PATH VEHICLE CAMERA or PATH VEHICLE CAMERA SPLIT, as in crops/0001.jpg 17 cam2"


def plain_list(path: Path) -> Manifest:
    """Reads lists in plain text, as many tools write them.

    A line is `PATH VEHICLE CAMERA`, with blanks between, or tabs where paths hold blanks. The camera may be left out,
    and a fourth word is the split. Paths are relative to the list's folder. Every line of a list has as many words.

    Args:
        path: a list, whose pictures are `train` where it tells no split; or a folder that holds `train.txt`,
            `query.txt` and `gallery.txt`, or some of them, which tell the splits.

    Raises:
        SamecarError: there is no such list, or a line of it is not of that form.
    """
    if not path.exists():
        raise SamecarError(f"list {path} is not there; give the path of a list, or of a folder with {_names()}")
    folder, lists = (path, FILES) if path.is_dir() else (path.parent, {"train": path.name})
    present = {split: folder / name for split, name in lists.items() if (folder / name).is_file()}
    if not present:
        raise SamecarError(f"folder {path} holds no list; it needs {_names()}, or give the path of one list")
    rows = [row for split, file in present.items() for row in _rows(file, split)]
    if not rows:
        raise SamecarError(f"list {path} is empty; each line must be {FORM}")
    manifest = Manifest.from_rows(folder, rows, source="list")
    return manifest if path.is_dir() else replace(manifest, file=path.name)


def list_words(path: Path) -> list[list[str]]:
    """The words of each line of a list; they are separated by tabs where every line has one, else by blanks.

    Raises:
        SamecarError: the file cannot be read, or a line has other than as many words as the first.
    """
    lines = read_lines(path)
    tabs = all("\t" in line for line in lines)
    words = [[word.strip() for word in line.split("\t")] if tabs else line.split() for line in lines]
    for line, parts in zip(lines, words, strict=True):
        if len(parts) != len(words[0]):
            raise SamecarError(
                f"list {path} has the line {line!r} of {len(parts)} words, and its first line has {len(words[0])}; "
                "give each line as many, with tabs between them where paths hold blanks"
            )
    return words


def _rows(path: Path, split: str) -> Iterator[dict[str, str]]:
    for words in list_words(path):
        picture, *labels = words
        if not 1 <= len(labels) <= 3 or not is_picture_name(Path(picture).name):
            raise SamecarError(f"list {path} has the line {' '.join(words)!r}; each line must be {FORM}")
        values = dict(zip(("vehicle_id", "camera_id", "split"), labels, strict=False))
        yield {"camera_id": "", "split": split, **values, "path": picture.replace("\\", "/")}


def _names() -> str:
    return f"{', '.join(list(FILES.values())[:-1])} or {list(FILES.values())[-1]}"
