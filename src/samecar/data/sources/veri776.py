"""VeRi-776: how its names, lists, labels and index files are made, and the source `veri776:` that reads them.

A folder in this layout holds `image_train/`, `image_query/` and `image_test/`, a list of names for each, labels as XML,
and for each query the rows of the gallery that are right and that are passed over. It is the data set as its authors
hand it out, or a set that `samecar.drawn` drew.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from samecar.data.manifest import SPLITS, Manifest
from samecar.data.sources.listings import (
    Counts,
    count_warnings,
    difference_warning,
    folder_hint,
    read_lines,
    require_folder,
)
from samecar.data.sources.walking import picture_names
from samecar.errors import SamecarError, first_few
from samecar.files import read_whole

EXAMPLE_NAME: Final = "0001_c001_00016450_0.jpg"
NAME: Final = re.compile(r"(?P<vehicle_id>[0-9]{4})_(?P<camera_id>c[0-9]{3})_(?P<time>[0-9]{8})_(?P<order>[0-9]+)\.jpg")
FOLDERS: Final = {"train": "image_train", "query": "image_query", "gallery": "image_test"}
LISTS: Final = {"train": "name_train.txt", "query": "name_query.txt", "gallery": "name_test.txt"}
LABELS: Final = {"train": "train_label.xml", "gallery": "test_label.xml"}
"""Labels of the gallery are those of the queries too."""

TRACKS: Final = "test_track.txt"
INDEX_FILES: Final = {
    "match": ("gt_index.txt", "gt_image.txt"),
    "junk": ("jk_index.txt", "jk_image.txt"),
}
"""Rows of the same vehicle in other cameras, and in the query's own camera; two names are in use for each."""

COLOURS: Final = ("yellow", "orange", "green", "gray", "red", "blue", "white", "golden", "brown", "black")
TYPES: Final = ("sedan", "suv", "van", "hatchback", "mpv", "pickup", "bus", "truck", "estate")
"""As labels number them, from 1; 0 where nobody wrote one down."""

MENDED_TYPES: Final = {"0003": "suv", "0007": "suv", "0041": "suv"}
"""Version 1.0 of the labels has type 0 for these vehicles."""

PUBLISHED: Final = {
    "train": Counts(37778, 576, 20),
    "query": Counts(1678, 200, 19),
    "gallery": Counts(11579, 200, 19),
}


# names


class PictureName(NamedTuple):
    """What a file name such as `0001_c001_00016450_0.jpg` says.

    Attributes:
        vehicle_id: four digits.
        camera_id: c and three digits.
        time: time stamp, eight digits.
        order: tells pictures of the same moment apart.
    """

    vehicle_id: str
    camera_id: str
    time: str
    order: str


def parse_name(name: str) -> PictureName | None:
    """Takes a file name apart; None if it has another form."""
    match = NAME.fullmatch(name)
    return None if match is None else PictureName(**match.groupdict())


# labels


class Label(NamedTuple):
    """What a label file says of one picture; colour and type are words, "" where it says nothing."""

    vehicle_id: str
    camera_id: str
    colour: str
    type: str


def read_label_items(path: Path) -> list[Mapping[str, str]]:
    """Reads the attributes of each picture in a label file, as they stand there; none if there is no file.

    Raises:
        SamecarError: the file is not XML, or declares a document type, with which XML could grow without end.
    """
    if not path.is_file():
        return []
    # Declared gb2312, which Python's XML parser refuses: decode here and drop the declaration.
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", read_whole(path).decode("gb18030", errors="replace").lstrip("\ufeff"))
    if "<!" in text.replace("<!--", ""):
        raise SamecarError(f"labels {path} declare a document type, which VeRi-776's do not; take its own file")
    try:
        return [item.attrib for item in ElementTree.fromstring(text).iter("Item")]  # noqa: S314 - entities: see above
    except ElementTree.ParseError as error:
        raise SamecarError(f"labels {path} are not XML ({error}); replace the file, or remove it") from error


def read_labels(path: Path, warnings: list[str]) -> dict[str, Label]:
    """Reads a label file: file name to label; empty if there is no file.

    Args:
        path: `train_label.xml` or `test_label.xml`.
        warnings: sentences about what was mended are added.

    Raises:
        SamecarError: the file is not XML.
    """
    labels = {item.get("imageName", ""): _label(item) for item in read_label_items(path)}
    warnings += _mend_types(path.name, labels)
    return labels


def _label(item: Mapping[str, str]) -> Label:
    camera = item.get("cameraID", "").lower().removeprefix("c")
    colour, kind = _word(COLOURS, item.get("colorID", "")), _word(TYPES, item.get("typeID", ""))
    return Label(item.get("vehicleID", "").zfill(4), f"c{camera.zfill(3)}", colour, kind)


def _word(words: tuple[str, ...], number: str) -> str:
    return words[int(number) - 1] if number.isdecimal() and 1 <= int(number) <= len(words) else ""


def _mend_types(file_name: str, labels: dict[str, Label]) -> list[str]:
    untyped = [name for name, label in labels.items() if not label.type]
    mended = [name for name in untyped if labels[name].vehicle_id in MENDED_TYPES]
    for name in mended:
        labels[name] = labels[name]._replace(type=MENDED_TYPES[labels[name].vehicle_id])
    warnings = []
    if mended:
        vehicles = sorted({labels[name].vehicle_id for name in mended})
        warnings.append(f"{file_name} gives no type for vehicles {', '.join(vehicles)}; they are taken as suv")
    if len(untyped) > len(mended):
        rest = [name for name in untyped if not labels[name].type]
        warnings.append(f"{len(rest):,} labels of {file_name} have no known type: {first_few(rest)}")
    return warnings


def _compare_labels(split: str, names: list[str], labels: dict[str, Label]) -> Iterator[str]:
    if not labels:
        return
    yield from difference_warning(names, labels, f"pictures of {split} have no label")
    wrong = [name for name in names if name in labels and (name[:4], name[5:9]) != labels[name][:2]]
    if wrong:
        yield (
            f"{len(wrong):,} labels of {split} name another vehicle or camera than the file name, which counts: "
            f"{first_few(wrong)}"
        )


# index files and tracks


def compare_indices(folder: Path, queries: Sequence[str], gallery: Sequence[str]) -> Iterator[str]:
    """Compares index files with file names.

    A line stands for a query, in the order of `name_query.txt`, and holds rows of the gallery sorted by name, counted
    from 1; file names are understood as well.

    Args:
        folder: where the files lie; those that are absent are not checked.
        queries: file names of the queries, in order.
        gallery: file names of the gallery, sorted.
    """
    by_vehicle: dict[str, list[str]] = {}
    for name in gallery:
        by_vehicle.setdefault(name[:4], []).append(name)
    for kind, file_names in INDEX_FILES.items():
        for path in (folder / name for name in file_names):
            if path.is_file():
                yield from _compare_index(path, kind == "junk", queries, gallery, by_vehicle)


def _compare_index(
    path: Path, same_camera: bool, queries: Sequence[str], gallery: Sequence[str], by_vehicle: dict[str, list[str]]
) -> Iterator[str]:
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    while len(lines) > len(queries) and not lines[-1].strip():
        lines.pop()
    if len(lines) != len(queries):
        yield f"{path.name} has {len(lines):,} lines for {len(queries):,} queries; it is not checked"
        return
    wrong = []
    for query, line in zip(queries, lines, strict=True):
        expected = {name for name in by_vehicle.get(query[:4], ()) if (name[5:9] == query[5:9]) == same_camera}
        if {_indexed_name(entry, gallery) for entry in line.split()} != expected:
            wrong.append(query)
    if wrong:
        yield (
            f"{path.name} disagrees with the file names for {len(wrong):,} of {len(queries):,} queries; the names "
            f"count: {first_few(wrong)}"
        )


def _indexed_name(entry: str, gallery: Sequence[str]) -> str:
    if entry.isdecimal():
        return gallery[int(entry) - 1] if 1 <= int(entry) <= len(gallery) else entry
    return entry.replace("\\", "/").rpartition("/")[2]


def read_tracks(path: Path, gallery: Sequence[str], warnings: list[str]) -> dict[str, str]:
    """Reads `test_track.txt`: file name to track; empty if there is no file.

    Each line is one track: its name, then the names of its pictures. A track is called as its file says, without the
    suffix; a picture that stands in two lines belongs to the first.

    Args:
        path: the file.
        gallery: file names that count; others are passed over.
        warnings: sentences about tracks that mix vehicles or cameras, and about pictures in none, are added.
    """
    if not path.is_file():
        return {}
    known = set(gallery)
    tracks: dict[str, str] = {}
    mixed = []
    for line in read_lines(path):
        track, *rest = line.split()
        members = [name for name in (track, *rest) if name in known]
        if len({name[:9] for name in members}) > 1:
            mixed.append(track)
        for name in members:
            tracks.setdefault(name, track.removesuffix(".jpg"))
    if mixed:
        warnings.append(f"{len(mixed):,} tracks of {path.name} mix vehicles or cameras: {first_few(mixed)}")
    lost = [name for name in gallery if name not in tracks]
    if lost:
        warnings.append(f"{len(lost):,} pictures of gallery are in no track of {path.name}: {first_few(lost)}")
    return tracks


# the source


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
    names = {split: _find_names(folder, split, warnings) for split in _find_splits(folder, warnings)}
    labels = {split: read_labels(folder / name, warnings) for split, name in LABELS.items()}
    labels["query"] = labels["gallery"]
    tracks = read_tracks(folder / TRACKS, names["gallery"], warnings)
    numbered = {split: _names_by_row(folder / LISTS[split], names[split]) for split in ("query", "gallery")}
    warnings += compare_indices(folder, numbered["query"], sorted(numbered["gallery"]))
    for split in ("train", "gallery"):
        warnings += _compare_labels(split, names[split], labels[split])
    rows = [
        _row(split, name, labels[split], {} if split == "train" else tracks)
        for split in SPLITS
        for name in names[split]
    ]
    manifest = Manifest.from_rows(folder, rows, source="veri776")
    return replace(manifest, warnings=(*warnings, *count_warnings(manifest, PUBLISHED)))


def _find_splits(folder: Path, warnings: list[str]) -> tuple[str, ...]:
    if all((folder / name).is_dir() for name in FOLDERS.values()):
        return SPLITS
    if not any((folder / name).is_dir() for name in FOLDERS.values()):
        if all((folder / name).is_file() for name in LISTS.values()):
            warnings.append(f"{folder} holds the lists of VeRi-776 without its pictures; only the lists were read")
            return SPLITS
        hint = ", ".join(FOLDERS.values())
        deeper = folder_hint(folder, FOLDERS["train"]) or "; give the folder that they lie in"
        raise SamecarError(f"{folder} is not VeRi-776: it has none of {hint}{deeper}")
    missing = [name for name in FOLDERS.values() if not (folder / name).is_dir()]
    raise SamecarError(f"{folder} is not all of VeRi-776: it lacks {', '.join(missing)}; unpack the whole set there")


def _find_names(folder: Path, split: str, warnings: list[str]) -> list[str]:
    place, listing = folder / FOLDERS[split], folder / LISTS[split]
    present = list(picture_names(place, warnings)) if place.is_dir() else None
    names = _read_list(listing, present, warnings) if listing.is_file() else present or []
    named = [name for name in names if parse_name(name)]
    if not named:
        raise SamecarError(
            f"{place} has no picture with a name of VeRi-776, such as {EXAMPLE_NAME}; "
            f"found were {first_few(names) or 'none at all'}; another set in this layout, such as CityFlow-ReID, is "
            "read by its own source, or as folder: with a pattern"
        )
    warnings += difference_warning(names, named, f"pictures of {split} have names of another form and are left out")
    return named


def _names_by_row(listing: Path, names: list[str]) -> list[str]:
    """The names that index files count: those of the list, even where a picture of it is absent."""
    return _file_names(listing) if listing.is_file() else names


def _read_list(listing: Path, present: list[str] | None, warnings: list[str]) -> list[str]:
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


def _file_names(listing: Path) -> list[str]:
    return [line.replace("\\", "/").rpartition("/")[2] for line in read_lines(listing)]


def _row(split: str, name: str, labels: dict[str, Label], tracks: dict[str, str]) -> dict[str, str]:
    parsed = parse_name(name)
    assert parsed is not None  # names of another form were left out
    label = labels.get(name)
    return {
        "vehicle_id": parsed.vehicle_id,
        "camera_id": parsed.camera_id,
        "time": parsed.time,
        "path": f"{FOLDERS[split]}/{name}",
        "split": split,
        "track_id": tracks.get(name, ""),
        "colour": label.colour if label else "",
        "type": label.type if label else "",
    }
