"""The source `veri_wild:`, the folder of VERI-Wild."""

import os
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
from samecar.data.sources.walking import picture_names
from samecar.errors import SamecarError, first_few

PUBLISHED_TRAIN: Final = Counts(277797, 30671)
PUBLISHED_GALLERY: Final = {3000: Counts(38861, 3000), 5000: Counts(64389, 5000), 10000: Counts(128517, 10000)}

SOURCE_NAMES: Final = {3000: "veri_wild", 5000: "veri_wild_medium", 10000: "veri_wild_large"}

_FIELDS_WITHOUT_HEADER: Final = {
    5: ("camera_id", "model", "type", "colour"),
    6: ("camera_id", "time", "model", "type", "colour"),
}
_HEADER_WORDS: Final = {"camera": "camera_id", "time": "time", "type": "type", "color": "colour", "colour": "colour"}


def veri_wild(folder: Path, vehicles: int) -> Manifest:
    """Reads VERI-Wild with one of its test lists.

    Pictures are `images/VEHICLE/NAME.jpg`, also deeper below `images`, or below the folder where there is no `images`,
    as archives leave them that are unpacked one by one. `train_list.txt`, `test_N.txt` (gallery) and
    `test_N_query.txt` hold a line `VEHICLE/NAME` for each. Camera, time, type and colour come from `vehicle_info.txt`
    or from `test_N_info.txt`, `test_N_query_info.txt` and `train_list_info.txt`. All of these lie in
    `train_test_split` or in the folder itself. A folder of lists without pictures gives a manifest of pictures that are
    absent.

    A train picture without camera is taken with a warning: training does not ask for it.

    Args:
        folder: the data set.
        vehicles: which test lists, by the number of their vehicles: 3000, 5000 or 10000.

    Raises:
        SamecarError: there is no such folder, a list is missing, a line is not of that form, or a query or gallery
            picture has no camera, without which it cannot be told which gallery pictures are junk.
    """
    require_folder(folder)
    names = {"train": "train_list", "query": f"test_{vehicles}_query", "gallery": f"test_{vehicles}"}
    info: dict[str, dict[str, str]] = {}
    for name in ("vehicle_info", *(f"{name}_info" for name in names.values())):
        path = find_list(folder, f"{name}.txt")
        info.update(_info(path) if path else {})
    rows = [row for split, name in names.items() for row in _rows(folder, split, f"{name}.txt", info)]
    warnings: list[str] = []
    found = _find_pictures(folder, rows, warnings)
    manifest = Manifest.from_rows(folder, rows, source=SOURCE_NAMES[vehicles])
    warnings += _camera_warnings(manifest)
    if not found:
        warnings.append(f"{folder} holds the lists of VERI-Wild without its pictures; only the lists were read")
    published = {
        "train": PUBLISHED_TRAIN,
        "query": Counts(vehicles, vehicles),
        "gallery": PUBLISHED_GALLERY[vehicles],
    }
    return replace(manifest, warnings=(*warnings, *count_warnings(manifest, published)))


def _rows(folder: Path, split: str, list_name: str, info: dict[str, dict[str, str]]) -> Iterator[dict[str, str]]:
    path = find_list(folder, list_name)
    if path is None:
        hint = folder_hint(folder, f"train_test_split/{list_name}")
        raise SamecarError(f"{folder} lacks {list_name}; it belongs into train_test_split or beside it{hint}")
    for line in read_lines(path):
        key = line.removesuffix(".jpg")
        vehicle, slash, name = key.partition("/")
        if not (vehicle and slash and name) or len(line.split()) > 1:
            raise SamecarError(f"list {path} has the line {line!r}; each line must be VEHICLE/NAME, as in 20342/209528")
        row = {"path": f"images/{key}.jpg", "vehicle_id": vehicle, "camera_id": "", "split": split}
        yield row | info.get(key, {})


def _find_pictures(folder: Path, rows: list[dict[str, str]], warnings: list[str]) -> bool:
    """Whether there are pictures; rows whose vehicles do not lie in `images` itself get the paths that they have."""
    images = folder / "images"
    if images.is_dir():
        vehicles = {entry.name for entry in os.scandir(images)}
        if not vehicles or vehicles.issuperset(row["vehicle_id"] for row in rows):
            return True
    below = images if images.is_dir() else folder
    lying: dict[str, list[str]] = {}
    for name in picture_names(below):
        path = (below / name).relative_to(folder).as_posix()
        lying.setdefault("/".join(path.split("/")[-2:]), []).append(path)
    for row in rows:
        row["path"] = lying.get(row["path"].removeprefix("images/"), [row["path"]])[0]
    taken = {row["path"] for row in rows}
    again = [paths[1] for paths in lying.values() if len(paths) > 1 and paths[0] in taken]
    if again:
        warnings.append(f"{len(again):,} pictures lie there again and are left out: {first_few(again)}")
    return bool(lying)


def _info(path: Path) -> dict[str, dict[str, str]]:
    """What `vehicle_info.txt` and its like say of `VEHICLE/NAME`; a header, where there is one, names the fields."""
    lines = [[value.strip() for value in line.split(";")] for line in read_lines(path)]
    if not lines:
        return {}
    if "camera" in ";".join(lines[0]).lower():
        header, lines = lines[0], lines[1:]
        fields: tuple[str, ...] = tuple(_field(word) for word in header[1:])
    else:
        fields = _FIELDS_WITHOUT_HEADER.get(len(lines[0]), ())
    wrong = next((line for line in lines if len(line) != len(fields) + 1), None)
    if wrong is not None:
        raise SamecarError(
            f"list {path} has the line {';'.join(wrong)!r}; each line must be like "
            "20342/209528;23;Volkswagen;sedan;white"
        )
    wanted = {"camera_id", "time", "type", "colour"}
    return {
        line[0].removesuffix(".jpg"): {
            field: value for field, value in zip(fields, line[1:], strict=True) if field in wanted
        }
        for line in lines
    }


def _field(word: str) -> str:
    return next((name for start, name in _HEADER_WORDS.items() if word.lower().startswith(start)), word)


def _camera_warnings(manifest: Manifest) -> Iterator[str]:
    without = manifest.select(manifest.camera_id == "")
    test = without.select(without.split != "train").path.tolist()
    if test:
        raise SamecarError(
            f"{manifest.root} names no camera for {len(test):,} test pictures ({first_few(test)}); "
            "put vehicle_info.txt into train_test_split"
        )
    if len(without):
        yield f"{len(without):,} train pictures have no camera, which training does not need"
