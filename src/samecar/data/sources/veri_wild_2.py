"""The sources `veri_wild_2:`, `veri_wild_2_a:` and `veri_wild_2_b:`, the folder of VERI-Wild 2.0."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from samecar.data.manifest import Manifest
from samecar.data.sources.listings import find_list, require_folder
from samecar.data.sources.plain_list import list_words
from samecar.errors import SamecarError

TEST_SETS: Final = {"All": "veri_wild_2", "A": "veri_wild_2_a", "B": "veri_wild_2_b"}
"""The authors' test sets, and the sources that read them."""

TEST_FOLDER: Final = "test_split_V2"
TRAIN_LISTS: Final = ("train_list.txt", "train_list_start0.txt")


def veri_wild_2(folder: Path, test_set: str) -> Manifest:
    """Reads VERI-Wild 2.0 with one of its test sets.

    `A_query.txt` and `A_gallery.txt`, likewise `B_…` and `All_…`, lie in `test_split_V2` or in the folder itself; a
    line is `FOLDER/NAME VEHICLE CAMERA`. Pictures lie below the folder or its `images`. The train pictures are those of
    the first VERI-Wild: `train_list.txt` or `train_list_start0.txt`, whose lines begin with `VEHICLE/NAME`, in
    `train_test_split` or beside it; without one only the test pictures are read, with a warning.

    Args:
        folder: the data set.
        test_set: a key of `TEST_SETS`.

    Raises:
        SamecarError: there is no such folder, a list is missing, or a line is not of that form.
    """
    require_folder(folder)
    rows: list[dict[str, str]] = []
    warnings: list[str] = []
    for split in ("query", "gallery"):
        name = f"{test_set}_{split}.txt"
        path = next((place for place in (folder / TEST_FOLDER / name, folder / name) if place.is_file()), None)
        if path is None:
            raise SamecarError(f"{folder} lacks {name}; it belongs into {TEST_FOLDER} or beside it")
        rows += list(_test_rows(folder, path, split, warnings))
    train = next((path for path in (find_list(folder, name) for name in TRAIN_LISTS) if path), None)
    if train is None:
        warnings.append(f"{folder} has no {' and no '.join(TRAIN_LISTS)}; only the test pictures were read")
    else:
        rows += list(_train_rows(folder, train))
    manifest = Manifest.from_rows(folder, rows, source=TEST_SETS[test_set])
    return replace(manifest, warnings=tuple(warnings))


def _test_rows(folder: Path, path: Path, split: str, warnings: list[str]) -> Iterator[dict[str, str]]:
    lines = list_words(path)
    if lines and len(lines[0]) > 3:
        warnings.append(f"words after the third of {path.name} are left out, such as {lines[0][3]!r}")
    for words in lines:
        if len(words) < 3 or "/" not in words[0]:
            raise SamecarError(
                f"list {path} has the line {' '.join(words)!r}; each line must be FOLDER/NAME VEHICLE CAMERA, as in "
                "20342/209528.jpg 20342 23"
            )
        yield _row(folder, words[0], words[1], words[2], split)


def _train_rows(folder: Path, path: Path) -> Iterator[dict[str, str]]:
    """Vehicles of train pictures are called as their folders: the numbers in the lines begin anew from 0."""
    for words in list_words(path):
        vehicle, slash, name = words[0].partition("/")
        if not (vehicle and slash and name):
            raise SamecarError(
                f"list {path} has the line {' '.join(words)!r}; each line must begin with VEHICLE/NAME, as in "
                "20342/209528"
            )
        yield _row(folder, words[0], vehicle, words[2] if len(words) > 2 else "", "train")


def _row(folder: Path, name: str, vehicle: str, camera: str, split: str) -> dict[str, str]:
    picture = f"{name.removesuffix('.jpg')}.jpg"
    path = f"images/{picture}" if (folder / "images").is_dir() and not name.startswith("images/") else picture
    return {"path": path, "vehicle_id": vehicle, "camera_id": camera, "split": split}
