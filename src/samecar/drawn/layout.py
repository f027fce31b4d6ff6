"""The lists of a drawn set: read those of an existing set in VeRi-776's layout, write those of a new one.

The layout itself is `samecar.data.sources.veri776`'s.
"""

import shutil
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from samecar.data.manifest import SPLITS
from samecar.data.sources.listings import read_lines
from samecar.data.sources.veri776 import (
    COLOURS,
    EXAMPLE_NAME,
    INDEX_FILES,
    LABELS,
    LISTS,
    TRACKS,
    TYPES,
    parse_name,
    read_label_items,
)
from samecar.errors import SamecarError

COLOUR_LIST, TYPE_LIST = "list_color.txt", "list_type.txt"

COPIED_LISTS: Final = (
    *(name for names in INDEX_FILES.values() for name in names),
    TRACKS,
    COLOUR_LIST,
    TYPE_LIST,
    "camera_ID.txt",
    "camera_Dist.txt",
    *LISTS.values(),
    LABELS["gallery"],
)
"""Lists that a twin takes over unchanged where its model has them."""

TRAIN_LABELS: Final = (LABELS["train"], "train_label_rebuilt.xml")
"""Names that labels of the training pictures have; the first one that is there counts."""


class PictureNumbers(NamedTuple):
    """What a file name says, as numbers, which sort by camera and then by time."""

    vehicle: int
    camera: int
    stamp: int
    order: int


class Look(NamedTuple):
    """A vehicle's labels: the numbers of its colour (1-10) and type (1-9); 0 where nobody wrote one down."""

    colour: int
    type: int


@dataclass(frozen=True)
class Lists:
    """The names of a set's pictures, in the order of their lists, and the labels of its vehicles.

    Attributes:
        train: File names of the training pictures.
        query: File names of the queries.
        gallery: File names of the gallery.
        looks: Colour and type of each vehicle that has labels.
    """

    train: tuple[str, ...]
    query: tuple[str, ...]
    gallery: tuple[str, ...]
    looks: dict[int, Look]

    def names(self, split: str) -> tuple[str, ...]:
        """The file names of `train`, `query` or `gallery`."""
        return {"train": self.train, "query": self.query, "gallery": self.gallery}[split]


def picture_numbers(name: str, where: str) -> PictureNumbers:
    """Takes a file name apart.

    Args:
        name: For instance ``0001_c001_00016450_0.jpg``.
        where: What the name was found in; for the error's sentence.

    Raises:
        SamecarError: The name is of another form.
    """
    parsed = parse_name(name)
    if parsed is None:
        raise SamecarError(
            f"{where} holds the name {name!r}; VeRi-776's names look like {EXAMPLE_NAME} (vehicle, camera, "
            "time stamp, index). Correct that line."
        )
    vehicle, camera = int(parsed.vehicle_id), int(parsed.camera_id.removeprefix("c"))
    return PictureNumbers(vehicle, camera, int(parsed.time), int(parsed.order))


def read_lists(names: Path) -> Lists:
    """Read the lists of a data set whose pictures need not be there.

    Args:
        names: The folder with ``name_train.txt``, ``name_query.txt`` and ``name_test.txt`` and, for colours and types,
            ``train_label.xml`` (or ``train_label_rebuilt.xml``) and ``test_label.xml``.

    Raises:
        SamecarError: The folder or a list is missing, empty, or holds something that is not a name.
    """
    if not names.is_dir():
        raise SamecarError(f"There is no folder {names}; give the folder that holds name_train.txt and its siblings.")
    found = {split: _read_names(names / LISTS[split]) for split in SPLITS}
    labels = next((names / name for name in TRAIN_LABELS if (names / name).is_file()), names / TRAIN_LABELS[0])
    looks: dict[int, Look] = {}
    for path in (labels, names / LABELS["gallery"]):
        looks.update(_read_looks(path))
    return Lists(found["train"], found["query"], found["gallery"], looks)


def _read_names(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise SamecarError(
            f"{path.parent} has no {path.name}; a twin needs name_train.txt, name_query.txt and name_test.txt there."
        )
    names = tuple(name for line in read_lines(path) for name in line.split())
    if not names:
        raise SamecarError(f"{path} is empty; it should hold one file name on each line.")
    for name in names:
        picture_numbers(name, str(path))
    if len(set(names)) != len(names):
        twice = next(name for position, name in enumerate(names) if name in names[:position])
        raise SamecarError(f"{path} names {twice} twice; a picture can be listed once. Remove one of the lines.")
    return names


def _read_looks(path: Path) -> dict[int, Look]:
    looks = {}
    try:
        for item in read_label_items(path):
            colour, kind = int(item.get("colorID", "0")), int(item.get("typeID", "0"))
            if not (0 <= colour <= len(COLOURS) and 0 <= kind <= len(TYPES)):
                raise SamecarError(
                    f"{path} gives {item.get('imageName')} colour {colour} and type {kind}; colours go from 1 to "
                    f"{len(COLOURS)} and types from 1 to {len(TYPES)} (0: unknown). Correct that item."
                )
            looks[int(item["vehicleID"])] = Look(colour, kind)
    except (KeyError, ValueError) as error:
        raise SamecarError(
            f"{path} could not be read as VeRi-776's labels ({error}); each Item needs vehicleID, colorID and typeID "
            "as numbers. Correct the file, or remove it to have colours and types drawn by chance."
        ) from error
    return looks


def write_lists(folder: Path, lists: Lists) -> None:
    """Write every list of a set but its pictures.

    Args:
        folder: Where to; exists.
        lists: Names and labels. The gallery's names need not be sorted; the rows in ``gt_index.txt`` and
            ``jk_index.txt`` count from 1 in their sorted order.
    """
    for split in SPLITS:
        _write(folder / LISTS[split], list(lists.names(split)))
    for split, name in LABELS.items():
        _write(folder / name, _label_lines(lists.names(split), lists.looks))
    right, passed_over = relevant_rows(lists.query, lists.gallery)
    for kind, rows_of_queries in (("match", right), ("junk", passed_over)):
        # As in the original, each number is followed by a space, the last one too.
        _write(folder / INDEX_FILES[kind][0], ["".join(f"{row} " for row in rows) for rows in rows_of_queries])
    _write(folder / TRACKS, track_lines(lists.gallery))
    _write(folder / COLOUR_LIST, [f"{number} {name}" for number, name in enumerate(COLOURS, start=1)])
    _write(folder / TYPE_LIST, [f"{number} {name}" for number, name in enumerate(TYPES, start=1)])


def copy_lists(names: Path, folder: Path, lists: Lists) -> None:
    """Write a twin's lists: those of its model, byte for byte, where the model has them; the others worked out."""
    write_lists(folder, lists)
    for name in COPIED_LISTS:
        if (names / name).is_file():
            shutil.copyfile(names / name, folder / name)
    for name in TRAIN_LABELS:
        if (names / name).is_file():
            shutil.copyfile(names / name, folder / LABELS["train"])
            break


def relevant_rows(query: tuple[str, ...], gallery: tuple[str, ...]) -> tuple[list[list[int]], list[list[int]]]:
    """The rows of the sorted gallery, counted from 1, that are right and that are passed over for each query.

    Right: the same vehicle in another camera. Passed over: the same vehicle in the query's own camera, the query's
    own picture among them.
    """
    rows: dict[int, list[tuple[int, int]]] = {}
    for row, name in enumerate(sorted(gallery), start=1):
        vehicle, camera, *_ = picture_numbers(name, "the gallery")
        rows.setdefault(vehicle, []).append((row, camera))
    right, passed_over = [], []
    for name in query:
        vehicle, query_camera, *_ = picture_numbers(name, "the queries")
        seen = rows.get(vehicle, [])
        right.append([row for row, camera in seen if camera != query_camera])
        passed_over.append([row for row, camera in seen if camera == query_camera])
    return right, passed_over


def track_lines(gallery: tuple[str, ...]) -> list[str]:
    """One line for each track (a vehicle's pictures in one camera): the track's name, then its pictures' names.

    The track's name is that of its first picture, which therefore stands on its line twice.
    """
    tracks = groupby(sorted(gallery), key=lambda name: name[:9])
    return [" ".join((pictures[0], *pictures)) for pictures in (list(group) for _, group in tracks)]


def _label_lines(names: tuple[str, ...], looks: dict[int, Look]) -> list[str]:
    lines = ['<?xml version="1.0" encoding="gb2312" ?>', '<TrainingImages Version="1.0">']
    lines.append(f'    <Items number="{len(names)}">')
    for name in names:
        look = looks.get(int(name[:4]), Look(0, 0))
        lines.append(
            f'        <Item imageName="{name}" vehicleID="{name[:4]}" cameraID="{name[5:9]}" '
            f'colorID="{look.colour}" typeID="{look.type}" />'
        )
    return [*lines, "    </Items>", "</TrainingImages>"]


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii", newline="\n")
