"""The source `veri776:`, the folder of VeRi-776 as its authors hand it out, or of a set drawn in its layout."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from samecar.data.listings import Counts, count_warnings, difference_warning, picture_names, read_lines, require_folder
from samecar.data.manifest import SPLITS, Manifest
from samecar.data.veri776_indices import index_warnings, read_tracks
from samecar.data.veri776_labels import Label, read_labels
from samecar.errors import SamecarError, first_few

NAME: Final = re.compile(r"(?P<vehicle_id>\d{4})_(?P<camera_id>c\d{3})_(?P<time>\d{8})_\d+\.jpg")
FOLDERS: Final = {"train": "image_train", "query": "image_query", "gallery": "image_test"}
LISTS: Final = {"train": "name_train.txt", "query": "name_query.txt", "gallery": "name_test.txt"}
PUBLISHED: Final = {
    "train": Counts(37778, 576, 20),
    "query": Counts(1678, 200, 19),
    "gallery": Counts(11579, 200, 19),
}


def veri776(folder: Path) -> Manifest:
    """Reads a folder in the layout of VeRi-776.

    Vehicle, camera and time stamp come from the file names alone. `name_*.txt` say which pictures count; without them
    every picture in `image_train`, `image_query` and `image_test` does. Colours and types come from `train_label.xml`
    and `test_label.xml`, tracks of the gallery and the queries from `test_track.txt`. `gt_index.txt` and `jk_index.txt`
    (also called `gt_image.txt` and `jk_image.txt`) are checked against the names. A folder that holds the lists but
    none of the three picture folders gives a manifest of pictures that are absent.

    What differs - lists, labels, index files, the published counts - becomes a warning.

    Raises:
        SamecarError: there is no such folder, a part of it is missing, or a file in it cannot be read.
    """
    require_folder(folder)
    warnings: list[str] = []
    names = {split: _names(folder, split, warnings) for split in _complete(folder, warnings)}
    labels = {"train": read_labels(folder / "train_label.xml", warnings)}
    labels["gallery"] = labels["query"] = read_labels(folder / "test_label.xml", warnings)
    tracks = read_tracks(folder / "test_track.txt", names["gallery"], warnings)
    numbered = {split: _numbered(folder / LISTS[split], names[split]) for split in ("query", "gallery")}
    warnings += index_warnings(folder, numbered["query"], sorted(numbered["gallery"]))
    for split in ("train", "gallery"):
        warnings += _label_warnings(split, names[split], labels[split])
    rows = [
        _row(split, name, labels[split], {} if split == "train" else tracks)
        for split in SPLITS
        for name in names[split]
    ]
    manifest = Manifest.from_rows(folder, rows, source="veri776")
    return replace(manifest, warnings=(*warnings, *count_warnings(manifest, PUBLISHED)))


def _complete(folder: Path, warnings: list[str]) -> tuple[str, ...]:
    if all((folder / name).is_dir() for name in FOLDERS.values()):
        return SPLITS
    if not any((folder / name).is_dir() for name in FOLDERS.values()):
        if all((folder / name).is_file() for name in LISTS.values()):
            warnings.append(f"{folder} holds the lists of VeRi-776 without its pictures; only the lists were read")
            return SPLITS
        hint = ", ".join(FOLDERS.values())
        raise SamecarError(f"{folder} is not VeRi-776: it has none of {hint}; give the folder that they lie in")
    missing = [name for name in FOLDERS.values() if not (folder / name).is_dir()]
    raise SamecarError(f"{folder} is not all of VeRi-776: it lacks {', '.join(missing)}; unpack the whole set there")


def _names(folder: Path, split: str, warnings: list[str]) -> list[str]:
    place, listing = folder / FOLDERS[split], folder / LISTS[split]
    present = list(picture_names(place)) if place.is_dir() else None
    names = _listed(listing, present, warnings) if listing.is_file() else present or []
    named = [name for name in names if NAME.fullmatch(name)]
    if not named:
        raise SamecarError(
            f"{place} has no picture with a name of VeRi-776, such as 0001_c001_00016450_0.jpg; "
            f"found were {first_few(names) or 'none at all'}"
        )
    warnings += difference_warning(names, named, f"pictures of {split} have names of another form and are left out")
    return named


def _numbered(listing: Path, names: list[str]) -> list[str]:
    """The names that index files count: those of the list, even where a picture of it is absent."""
    return _file_names(listing) if listing.is_file() else names


def _file_names(listing: Path) -> list[str]:
    return [line.replace("\\", "/").rpartition("/")[2] for line in read_lines(listing)]


def _listed(listing: Path, present: list[str] | None, warnings: list[str]) -> list[str]:
    lines = _file_names(listing)
    names = list(dict.fromkeys(lines))
    if len(names) < len(lines):
        warnings.append(f"{len(lines) - len(names):,} lines of {listing.name} repeat a name and are left out")
    if present is None:
        return names
    warnings += difference_warning(names, present, f"names of {listing.name} have no picture and are left out")
    warnings += difference_warning(present, names, f"pictures are not in {listing.name} and are left out")
    on_disk = set(present)
    return [name for name in names if name in on_disk]


def _row(split: str, name: str, labels: dict[str, Label], tracks: dict[str, str]) -> dict[str, str]:
    match = NAME.fullmatch(name)
    assert match is not None  # names of another form were left out
    label = labels.get(name)
    return {
        **match.groupdict(),
        "path": f"{FOLDERS[split]}/{name}",
        "split": split,
        "track_id": tracks.get(name, ""),
        "colour": label.colour if label else "",
        "type": label.type if label else "",
    }


def _label_warnings(split: str, names: list[str], labels: dict[str, Label]) -> Iterator[str]:
    if not labels:
        return
    yield from difference_warning(names, labels, f"pictures of {split} have no label")
    wrong = [name for name in names if name in labels and (name[:4], name[5:9]) != labels[name][:2]]
    if wrong:
        yield (
            f"{len(wrong):,} labels of {split} name another vehicle or camera than the file name, which counts: "
            f"{first_few(wrong)}"
        )
