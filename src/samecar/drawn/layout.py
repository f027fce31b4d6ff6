"""VeRi-776's folders and lists: read those of a data set, write those of a drawn one.

A set in this layout holds ``image_train/``, ``image_query/`` and ``image_test/``, a list of names for each, the labels
as XML, and for each query the rows of the gallery that are right (``gt_index.txt``) and that are passed over
(``jk_index.txt``).
"""

import re
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

from drawncars.palette import COLOURS, TYPES
from samecar.errors import SamecarError

NAME_PATTERN: Final = re.compile(r"(\d{4})_c(\d{3})_(\d{8})_(\d+)\.jpg")
SPLITS: Final = ("train", "query", "test")
COPIED_LISTS: Final = (
    "gt_index.txt",
    "jk_index.txt",
    "gt_image.txt",
    "jk_image.txt",
    "test_track.txt",
    "list_color.txt",
    "list_type.txt",
    "camera_ID.txt",
    "camera_Dist.txt",
)
"""Lists that a twin takes over unchanged where its model has them."""

TRAIN_LABELS: Final = ("train_label.xml", "train_label_rebuilt.xml")


class PictureName(NamedTuple):
    """What a file name such as ``0001_c001_00016450_0.jpg`` says."""

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
        test: File names of the gallery.
        looks: Colour and type of each vehicle that has labels.
    """

    train: tuple[str, ...]
    query: tuple[str, ...]
    test: tuple[str, ...]
    looks: dict[int, Look]

    def names(self, split: str) -> tuple[str, ...]:
        """The file names of one of :data:`SPLITS`."""
        return {"train": self.train, "query": self.query, "test": self.test}[split]


def parse_name(name: str, where: str) -> PictureName:
    """Take a file name apart.

    Args:
        name: For instance ``0001_c001_00016450_0.jpg``.
        where: What the name was found in; for the error's sentence.

    Raises:
        SamecarError: The name is of another form.
    """
    match = NAME_PATTERN.fullmatch(name)
    if match is None:
        raise SamecarError(
            f"{where} holds the name {name!r}; VeRi-776's names look like 0001_c001_00016450_0.jpg (vehicle, camera, "
            "time stamp, index). Correct that line."
        )
    return PictureName(*(int(part) for part in match.groups()))


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
    found = {split: _read_names(names / f"name_{split}.txt") for split in SPLITS}
    labels = [next((names / name for name in TRAIN_LABELS if (names / name).is_file()), None), names / "test_label.xml"]
    looks: dict[int, Look] = {}
    for path in labels:
        if path is not None and path.is_file():
            looks.update(_read_looks(path))
    return Lists(found["train"], found["query"], found["test"], looks)


def _read_names(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise SamecarError(
            f"{path.parent} has no {path.name}; a twin needs name_train.txt, name_query.txt and name_test.txt there."
        )
    names = tuple(path.read_text(encoding="utf-8-sig").split())
    if not names:
        raise SamecarError(f"{path} is empty; it should hold one file name on each line.")
    for name in names:
        parse_name(name, str(path))
    if len(set(names)) != len(names):
        twice = next(name for position, name in enumerate(names) if name in names[:position])
        raise SamecarError(f"{path} names {twice} twice; a picture can be listed once. Remove one of the lines.")
    return names


def _read_looks(path: Path) -> dict[int, Look]:
    # Declared gb2312, which ElementTree refuses as a multi-byte encoding: decode here and drop the declaration.
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", path.read_bytes().decode("gb18030", errors="replace").lstrip("\ufeff"))
    looks = {}
    try:
        for item in ElementTree.fromstring(text).iter("Item"):  # noqa: S314 - lists that the user chose, from disk
            colour, kind = int(item.get("colorID", "0")), int(item.get("typeID", "0"))
            if not (0 <= colour <= len(COLOURS) and 0 <= kind <= len(TYPES)):
                raise SamecarError(
                    f"{path} gives {item.get('imageName')} colour {colour} and type {kind}; colours go from 1 to "
                    f"{len(COLOURS)} and types from 1 to {len(TYPES)} (0: unknown). Correct that item."
                )
            looks[int(item.attrib["vehicleID"])] = Look(colour, kind)
    except (ElementTree.ParseError, KeyError, ValueError) as error:
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
        _write(folder / f"name_{split}.txt", list(lists.names(split)))
    for split in ("train", "test"):
        _write(folder / f"{split}_label.xml", _label_lines(lists.names(split), lists.looks))
    right, passed_over = relevant_rows(lists.query, lists.test)
    # As in the original, each number is followed by a space, the last one too.
    _write(folder / "gt_index.txt", ["".join(f"{row} " for row in rows) for rows in right])
    _write(folder / "jk_index.txt", ["".join(f"{row} " for row in rows) for rows in passed_over])
    _write(folder / "test_track.txt", track_lines(lists.test))
    _write(folder / "list_color.txt", [f"{number} {name}" for number, name in enumerate(COLOURS, start=1)])
    _write(folder / "list_type.txt", [f"{number} {name}" for number, name in enumerate(TYPES, start=1)])


def copy_lists(names: Path, folder: Path, lists: Lists) -> None:
    """Write a twin's lists: those of its model, byte for byte, where the model has them; the others worked out."""
    write_lists(folder, lists)
    for name in (*COPIED_LISTS, *(f"name_{split}.txt" for split in SPLITS), "test_label.xml"):
        if (names / name).is_file():
            shutil.copyfile(names / name, folder / name)
    for name in TRAIN_LABELS:
        if (names / name).is_file():
            shutil.copyfile(names / name, folder / "train_label.xml")
            break


def relevant_rows(query: tuple[str, ...], test: tuple[str, ...]) -> tuple[list[list[int]], list[list[int]]]:
    """The rows of the sorted gallery, counted from 1, that are right and that are passed over for each query.

    Right: the same vehicle in another camera. Passed over: the same vehicle in the query's own camera, the query's
    own picture among them.
    """
    rows: dict[int, list[tuple[int, int]]] = {}
    for row, name in enumerate(sorted(test), start=1):
        vehicle, camera, *_ = parse_name(name, "the gallery")
        rows.setdefault(vehicle, []).append((row, camera))
    right, passed_over = [], []
    for name in query:
        vehicle, query_camera, *_ = parse_name(name, "the queries")
        seen = rows.get(vehicle, [])
        right.append([row for row, camera in seen if camera != query_camera])
        passed_over.append([row for row, camera in seen if camera == query_camera])
    return right, passed_over


def track_lines(test: tuple[str, ...]) -> list[str]:
    """One line for each track (a vehicle's pictures in one camera): the track's name, then its pictures' names.

    The track's name is that of its first picture, which therefore stands on its line twice.
    """
    tracks = groupby(sorted(test), key=lambda name: name[:9])
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
