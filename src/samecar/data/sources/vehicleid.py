"""The source `vehicleid:`, the folder of PKU VehicleID."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from samecar.data.manifest import Manifest
from samecar.data.sources.listings import (
    Counts,
    count_warnings,
    find_list,
    folder_hint,
    read_lines,
    require_folder,
)
from samecar.errors import SamecarError

PUBLISHED: Final = {800: {"gallery": Counts(6493, 800)}}
"""By test list; those that we could verify."""


def vehicleid(folder: Path, vehicles: int) -> Manifest:
    """Reads PKU VehicleID with one of its test lists.

    Pictures are `image/NAME.jpg`; `train_list.txt` and `test_list_N.txt` hold a line `NAME VEHICLE` for each and lie in
    `train_test_split` or in the folder itself. The set tells no cameras. All test pictures are gallery pictures: its
    protocol draws one of each vehicle at random and makes the others queries. Model and colour come from
    `attribute/model_attr.txt` and `attribute/color_attr.txt` where present, as the numbers that they hold. A folder of
    lists without pictures gives a manifest of pictures that are absent.

    Args:
        folder: the data set.
        vehicles: which test list, by the number of its vehicles: 800, 1600 or 2400.

    Raises:
        SamecarError: there is no such folder, a list is missing, or a line of it is not of that form.
    """
    require_folder(folder)
    pictures_absent = not (folder / "image").is_dir()
    test_name = f"test_list_{vehicles}.txt"
    lists = {split: find_list(folder, name) for split, name in (("train", "train_list.txt"), ("gallery", test_name))}
    missing = [name for name, path in zip(("train_list.txt", test_name), lists.values(), strict=True) if path is None]
    if test_name in missing or (missing and not pictures_absent):
        hint = folder_hint(folder, f"train_test_split/{test_name}")
        raise SamecarError(f"{folder} lacks {' and '.join(missing)}, in train_test_split or beside it{hint}")
    warnings = [f"{folder} holds the lists of VehicleID without its pictures"] if pictures_absent else []
    warnings += [f"{folder} has no {name}; only the test pictures were read" for name in missing]
    looks = {
        "type": _attributes(folder / "attribute" / "model_attr.txt"),
        "colour": _attributes(folder / "attribute" / "color_attr.txt"),
    }
    rows = [row for split, path in lists.items() if path for row in _rows(path, split, looks)]
    source = "vehicleid" if vehicles == 800 else f"vehicleid_{vehicles}"
    manifest = Manifest.from_rows(folder, rows, source=source)
    return replace(manifest, warnings=(*warnings, *count_warnings(manifest, PUBLISHED.get(vehicles, {}))))


def _rows(path: Path, split: str, looks: dict[str, dict[str, str]]) -> Iterator[dict[str, str]]:
    for line in read_lines(path):
        name, vehicle = _pair(path, line)
        labels = {column: values.get(vehicle, "") for column, values in looks.items()}
        picture = f"image/{name.removesuffix('.jpg')}.jpg"
        yield {"path": picture, "vehicle_id": vehicle, "camera_id": "", "split": split, **labels}


def _attributes(path: Path) -> dict[str, str]:
    return dict(_pair(path, line) for line in read_lines(path)) if path.is_file() else {}


def _pair(path: Path, line: str) -> tuple[str, str]:
    match line.split():
        case [first, second]:
            return first, second
    raise SamecarError(f"list {path} has the line {line!r}; each line must hold two words, as in '0279029 23781'")
