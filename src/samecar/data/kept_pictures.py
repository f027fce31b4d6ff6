"""Pictures that are decoded and resized once, and kept for all epochs, and for all trainings that read the same ones.

What is kept is what the random changes begin with, so that they give the same pictures as without it: each in the
model's size, and in the larger one of which a part is cut out.
"""

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from samecar.data.copies import TOGETHER, read_digests
from samecar.data.manifest import Manifest
from samecar.data.picture_batches import read_ahead, rows_in_order
from samecar.data.pictures import UnreadablePictureError, decode_picture
from samecar.data.transforms import PictureTransform
from samecar.errors import SamecarError
from samecar.files import expand_home, read_json, read_whole, write_folder, write_json
from samecar.hardware import Machine, free_memory
from samecar.progress import Progress, silent

IN_MEMORY: Final = "memory"
"""Says that pictures are kept in memory; anything else is a folder."""

MOST_OF_MEMORY: Final = 0.7
"""The share of the free memory that pictures may take; the network needs some, too."""

MOST_OF_DISK: Final = 0.9
"""The share of a disk's free room that pictures may take."""

FORMAT: Final = 1
"""Of what is kept; another one is not read."""

DECODERS: Final = ("pillow", "simplejpeg", "cykooz.resizer")
"""Libraries of which another version may give other pixels."""

PIXELS_FILE, FACTS_FILE = "pixels.npy", "pictures.json"

_in_memory: dict[str, "KeptPictures"] = {}
"""What was kept last, by its key."""


@dataclass(frozen=True)
class KeptPictures:
    """Pictures of a manifest.

    Attributes:
        pixels: (pictures, bytes of a picture in all sizes) uint8.
        there: (pictures,), False for one that cannot be read.
        sizes: height and width of each size.
    """

    pixels: NDArray[np.uint8]
    there: NDArray[np.bool_]
    sizes: tuple[tuple[int, int], ...]

    def find(self, row: int) -> list[NDArray[np.uint8]] | None:
        """A picture in each size, (height, width, 3); None for one that cannot be read."""
        if not self.there[row]:
            return None
        found, start = [], 0
        for height, width in self.sizes:
            end = start + 3 * height * width
            found.append(self.pixels[row, start:end].reshape(height, width, 3))
            start = end
        return found


def keep_pictures(
    manifest: Manifest, transform: PictureTransform, on: Machine, progress: Progress = silent
) -> KeptPictures | None:
    """Decodes and resizes all pictures, or finds them where that was done before.

    They are known by the content of their files, by how they are read and resized, and by the libraries that do it.

    Args:
        manifest: which pictures.
        transform: what is to become of them.
        on: the machine, whose `speed.cache` says where: 'memory' keeps the last set for as long as the process runs, a
            folder keeps each, and what is damaged there is made anew; None keeps nothing.
        progress: is told how far the work is.

    Returns:
        The pictures; None where nothing is to be kept.

    Raises:
        SamecarError: there is not enough room, or nothing can be written there.
    """
    place = on.cache
    if place is None:
        return None
    work = _Work(manifest, transform, on.workers, progress)
    return work.in_memory() if place == IN_MEMORY else work.in_folder(expand_home(place))


@dataclass(frozen=True)
class _Work:
    manifest: Manifest
    transform: PictureTransform
    threads: int
    progress: Progress

    def in_memory(self) -> KeptPictures:
        key = self.key
        if key not in _in_memory:
            _in_memory.clear()
            free = free_memory()
            if free is not None and self.bytes > MOST_OF_MEMORY * free:
                raise SamecarError(
                    f"cache is 'memory', but the pictures take {_size(self.bytes)} and of {_size(free)} of free memory "
                    f"at most {MOST_OF_MEMORY:.0%} are taken; name a folder instead, or leave it out"
                )
            pixels = np.empty(self.shape, np.uint8)
            _in_memory[key] = KeptPictures(pixels, self.fill(pixels), self.sizes)
        return _in_memory[key]

    def in_folder(self, place: Path) -> KeptPictures:
        folder = place / f"pictures-{self.key[:16]}"
        if folder.exists():
            kept = self.open(folder)
            if kept is not None:
                return kept
            shutil.rmtree(folder)
        there = next(path for path in (place.absolute(), *place.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        if self.bytes > MOST_OF_DISK * free:
            raise SamecarError(
                f"cache is {place}, but the pictures take {_size(self.bytes)} and of {_size(free)} that are free there "
                f"at most {MOST_OF_DISK:.0%} are taken; name a folder on another disk, or leave it out"
            )
        try:
            with write_folder(folder) as temporary:
                self.write(temporary)
        except SamecarError:
            if not folder.exists():  # another process has made it meanwhile
                raise
        kept = self.open(folder)
        if kept is None:
            raise SamecarError(f"pictures that were just written to {folder} read otherwise; look after the disk")
        return kept

    def write(self, folder: Path) -> None:
        pixels = np.lib.format.open_memmap(folder / PIXELS_FILE, "w+", np.uint8, self.shape)
        if hasattr(os, "posix_fallocate"):  # so that a full disk is an error here, and ends no process later
            with (folder / PIXELS_FILE).open("rb+") as file:
                os.posix_fallocate(file.fileno(), 0, file.seek(0, os.SEEK_END))
        there = self.fill(pixels)
        pixels.flush()
        facts = {
            "format": FORMAT,
            "key": self.key,
            "there": np.flatnonzero(there).tolist(),
            "digests": _digests(pixels, self.threads),
        }
        write_json(folder / FACTS_FILE, facts)

    def open(self, folder: Path) -> KeptPictures | None:
        """What a folder keeps; None if it is damaged, or of another format."""
        try:
            facts: dict[str, Any] = read_json(folder / FACTS_FILE)
            pixels: NDArray[np.uint8] = np.load(folder / PIXELS_FILE, mmap_mode="r")
            there = np.zeros(len(self.manifest), np.bool_)
            there[facts["there"]] = True
            if (facts["format"], facts["key"]) != (FORMAT, self.key):
                return None
            if pixels.shape != self.shape or pixels.dtype != np.uint8:
                return None
            if facts["digests"] != _digests(pixels, self.threads):
                return None
        except (SamecarError, OSError, EOFError, ValueError, KeyError, IndexError, TypeError):
            return None
        return KeptPictures(pixels, there, self.sizes)

    def fill(self, pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Reads all pictures into their places; gives which can be read."""
        there = np.zeros(len(self.manifest), np.bool_)

        def read(row: int) -> None:
            try:
                content = read_whole(self.manifest.absolute_path(row))
                picture = decode_picture(content, "", self.transform.preprocessing.decoded_size)
            except (UnreadablePictureError, OSError, ValueError):
                return  # whoever trains on it says so
            parts = [np.asarray(part).reshape(-1) for part in self.transform.resize(picture)]
            pixels[row] = np.concatenate(parts)
            there[row] = True

        rows = rows_in_order(len(self.manifest), TOGETHER)
        with closing(read_ahead(rows, read, self.threads)) as batches:
            for number, _ in enumerate(batches):
                self.progress("pictures to keep", rows[number].stop, len(self.manifest))
        return there

    @cached_property
    def key(self) -> str:
        """Of the content of the files, and of all that makes pixels of it."""
        made_by = f"{FORMAT} {[(name, version(name)) for name in DECODERS]} {self.transform.before_chance}"
        contents = [content or "unreadable" for content in read_digests(self.manifest, self.threads)]
        return hashlib.sha256(" ".join([made_by, *contents]).encode()).hexdigest()

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return tuple((size.height, size.width) for size in self.transform.sizes)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.manifest), sum(3 * height * width for height, width in self.sizes)

    @property
    def bytes(self) -> int:
        return self.shape[0] * self.shape[1]


def _digests(pixels: NDArray[np.uint8], threads: int) -> list[str]:
    """Of every few pictures."""

    def digest(rows: range) -> str:
        return hashlib.sha256(np.ascontiguousarray(pixels[rows.start : rows.stop]).data).hexdigest()

    with ThreadPoolExecutor(max(1, threads), "digests") as pool:
        return list(pool.map(digest, rows_in_order(len(pixels), TOGETHER)))


def _size(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
