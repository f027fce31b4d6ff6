"""Finding the pictures below a folder, and saying what else lies there."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from samecar.data.pictures import is_picture_name
from samecar.errors import SamecarError, first_few

SYSTEM_FOLDERS: Final = frozenset(
    (
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "@tmp",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "system volume information",
        "__macosx",
        "lost+found",
    )
)
"""Folders, in small letters, in which network disks and systems keep thumbnails and what was deleted."""

COMPANIONS: Final = (
    *(".txt", ".csv", ".tsv", ".parquet", ".npz", ".npy", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml"),
    *(".md", ".html", ".pdf", ".log", ".ini", ".db", ".py", ".sh"),
)
"""Endings of files that lie beside pictures and that nobody takes for one."""

HIDDEN: Final = "hidden pictures are left out"
SYSTEM: Final = "pictures in folders of a network disk or a system, such as thumbnails, are left out"
OTHER: Final = "files are left out, since their names do not end as those of pictures"
BROKEN: Final = "links lead nowhere and are left out"
TWICE: Final = "linked folders are left out, since they are read already by another name or hold the folder itself"


def picture_names(folder: Path, warnings: list[str] | None = None) -> Iterator[str]:
    """Pictures below a folder as sorted paths relative to it, with forward slashes.

    Linked folders are followed, each real folder once, and under its own name rather than a link's. What is hidden and
    what network disks and systems keep for themselves is left out.

    Args:
        folder: where to look.
        warnings: sentences that count and name what is left out are added.

    Raises:
        SamecarError: a folder cannot be read, so that pictures would be missing without a word.
    """
    walk = _Walk(folder)
    walk.read_all()
    if warnings is not None:
        warnings += [
            f"{len(names):,} {sentence}: {first_few(sorted(names))}" for sentence, names in walk.left_out.items()
        ]
    return iter(sorted(walk.pictures))


class _Walk:
    """One look at a folder: its pictures, and what is left out by the sentence that says why."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures: list[str] = []
        self.left_out: dict[str, list[str]] = {}
        self._links: list[str] = []
        self._seen: set[str] = set()

    def read_all(self) -> None:
        """Reads the folder, and then what its links lead to."""
        root = os.path.realpath(self.folder)
        self._read("", root, "")
        while self._links:
            links, self._links = sorted(self._links), []
            for name in links:
                target = os.path.realpath(self.folder / name)
                if Path(root).is_relative_to(target):
                    self._leave_out(TWICE, name)
                else:
                    self._read(name, target, "")

    def _read(self, name: str, real: str, reason: str) -> None:
        """Reads a folder; with a reason why it is left out, its pictures are."""
        if real in self._seen:
            self._leave_out(TWICE, name)
            return
        self._seen.add(real)
        for entry in self._entries(name, real, reason):
            inner = f"{name}/{entry.name}" if name else entry.name
            if entry.is_symlink() and not entry.is_file():
                self._take_link(inner, entry, reason)
            elif entry.is_dir():
                self._read(inner, entry.path, reason or _reason(entry.name))
            else:
                self._take_file(inner, reason or _reason(entry.name))

    def _entries(self, name: str, real: str, reason: str) -> list["os.DirEntry[str]"]:
        try:
            with os.scandir(real) as entries:
                return list(entries)
        except OSError as error:
            if reason:
                return []
            raise SamecarError(
                f"folder {self.folder / name} cannot be read: {(error.strerror or str(error)).lower()}; change who may "
                "read it, or move it away"
            ) from error

    def _take_link(self, name: str, entry: "os.DirEntry[str]", reason: str) -> None:
        reason = reason or _reason(entry.name)
        if is_picture_name(entry.name):  # its picture is missing, which is said where it is looked for
            self._take_file(name, reason)
        elif not reason:
            if entry.is_dir():
                self._links.append(name)
            else:
                self._leave_out(BROKEN, name)

    def _take_file(self, name: str, reason: str) -> None:
        last = PurePosixPath(name).name
        if not is_picture_name(last.lstrip(".")):
            if not reason and not last.lower().endswith(COMPANIONS):
                self._leave_out(OTHER, name)
        elif not reason:
            self.pictures.append(name)
        elif not last.startswith("._"):  # which macOS puts beside each file on foreign disks
            self._leave_out(reason, name)

    def _leave_out(self, sentence: str, name: str) -> None:
        self.left_out.setdefault(sentence, []).append(name)


def _reason(name: str) -> str:
    """Why a file or folder of such a name is left out; "" if it is not."""
    if name.lower() in SYSTEM_FOLDERS:
        return SYSTEM
    return HIDDEN if name.startswith(".") else ""
