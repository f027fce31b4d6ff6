"""Embeddings of a large set are kept on disk part by part, so that embedding goes on where it was stopped.

Each part is a file of its own, which is there whole or not at all. Several processes, and several machines that see the
same folder, each make the parts that fall to them.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from samecar.data.copies import name_copies
from samecar.data.manifest import Manifest
from samecar.embedding.embeddings import Embeddings
from samecar.errors import SamecarError
from samecar.files import clear_unfinished, contents, make_folder, write_file
from samecar.processes import ALONE, Processes
from samecar.progress import Progress
from samecar.similarity.products import Matrix

PART: Final = 4096
"""Pictures of a part; of all batches' usual sizes a multiple, so that parts change no batch."""

BATCH: Final = 64
"""Pictures of which a share of a small set is a multiple, likewise."""

_NAME = re.compile(r"(part-\d{6}|matrix)-[0-9a-f]{16}\.npy|matrix\.npy|progress\.json")
"""Files of a folder of parts; the last two are those of earlier versions."""


@dataclass(frozen=True)
class Maker:
    """What makes the embeddings of a set, whoever calls it for which pictures.

    Attributes:
        model: the digest that the embeddings name.
        runtime: what runs the model, likewise; it makes all of a set.
        embed: embeds some of the pictures.
    """

    model: str
    runtime: str
    embed: Callable[[Manifest, Progress], Embeddings]

    def embeddings(self, matrix: Matrix, manifest: Manifest) -> Embeddings:
        """Embeddings of a whole set, of which parts were made."""
        return Embeddings(matrix, manifest, self.model, name_copies(manifest), self.runtime)


def embed_together(manifest: Manifest, maker: Maker, progress: Progress, processes: Processes) -> Embeddings:
    """Embeds a set in all processes, each a share of it; all have the whole then, in memory.

    Args:
        manifest: which pictures.
        maker: what makes the embeddings.
        progress: is told how far this process's share is.
        processes: that share the work.

    Raises:
        SamecarError: as what makes them does.
    """
    if processes.count == 1:
        return maker.embed(manifest, progress)
    batches = -(-len(manifest) // BATCH)
    start, stop = (number * batches // processes.count * BATCH for number in (processes.rank, processes.rank + 1))
    own = range(start, min(stop, len(manifest)))
    shares = processes.gather_objects(np.asarray(maker.embed(manifest.select(own), progress).matrix) if own else None)
    matrix = np.concatenate([share for share in shares if share is not None])
    return maker.embeddings(matrix, manifest)


def embed_in_parts(
    manifest: Manifest,
    maker: Maker,
    folder: Path,
    progress: Progress,
    *,
    processes: Processes = ALONE,
) -> Embeddings:
    """Embeds a set of more than `PART` pictures part by part; memory holds the embeddings of one.

    Args:
        manifest: which pictures.
        maker: what makes the embeddings.
        folder: keeps what is done. Where it holds parts of the same model and the same files, unchanged, the rest alone
            is embedded; other parts are replaced. All processes see it.
        progress: is told how far the parts of this process are.
        processes: that share the work.

    Returns:
        Embeddings whose matrix lies in the folder, and is read as it is used.

    Raises:
        SamecarError: as what makes them does, or the folder cannot be written, or holds something else.
    """
    if len(manifest) <= PART:
        return embed_together(manifest, maker, progress, processes)
    parts = processes.once(lambda: Parts.of(folder, manifest, maker))
    parts.make(range(processes.rank, parts.count, processes.count), manifest, maker, progress)
    processes.gather_objects(None)  # all parts are there
    path = processes.once(parts.join)
    return maker.embeddings(np.load(path, mmap_mode="r"), manifest)


@dataclass(frozen=True)
class Share:
    """Which parts a machine makes that starts by itself.

    Attributes:
        number: of the share, from 1.
        count: how many shares there are.
    """

    number: int
    count: int

    @classmethod
    def read(cls, text: str) -> "Share":
        """A share as it is written, such as 2/4.

        Raises:
            SamecarError: it is none.
        """
        written = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
        share = cls(int(written[1]), int(written[2])) if written else cls(0, 0)
        if not 1 <= share.number <= share.count:
            raise SamecarError(f"part is {text!r}; give the number of a share and how many there are, such as 2/4")
        return share


def embed_share(manifest: Manifest, maker: Maker, folder: Path, share: Share, progress: Progress) -> str:
    """Makes a share of the parts of a set, which others join; says what has been made.

    Args:
        manifest: which pictures.
        maker: as in `embed_in_parts`, and so are the others.
        folder: keeps what is done.
        share: which parts.
        progress: is told how far they are.

    Raises:
        SamecarError: as in `embed_in_parts`, or the set has no parts.
    """
    if len(manifest) <= PART:
        raise SamecarError(
            f"part is {share.number}/{share.count} but {len(manifest):,} pictures are embedded at once; parts are of "
            f"{PART:,}, so leave --part out"
        )
    parts = Parts.of(folder, manifest, maker)
    numbers = range(share.number - 1, parts.count, share.count)
    parts.make(numbers, manifest, maker, progress)
    return f"{len(numbers)} of {parts.count} parts"


@dataclass(frozen=True)
class Parts:
    """The parts of one set by one model, in a folder that may hold others.

    Attributes:
        folder: where they lie.
        identity: that changes when the model, what runs it, a file or the order of the files does.
        total: pictures of the set.
    """

    folder: Path
    identity: str
    total: int

    @classmethod
    def of(cls, folder: Path, manifest: Manifest, maker: Maker) -> "Parts":
        """The parts of a set in a folder, which need not be there.

        Raises:
            SamecarError: something else lies there.
        """
        _refuse_others(folder)
        return cls(folder, _identify(manifest, maker), len(manifest))

    @property
    def count(self) -> int:
        """How many there are to be."""
        return -(-self.total // PART)

    def make(self, numbers: range, manifest: Manifest, maker: Maker, progress: Progress) -> None:
        """Embeds those of some parts that are not there yet, each of which is then a whole file.

        Raises:
            SamecarError: as `embed` does, or the folder cannot be written.
        """
        if _read_rows(self._matrix, self.total) is not None:
            return
        done, every = 0, sum(len(self._rows(number)) for number in numbers)
        for number in numbers:
            rows = self._rows(number)
            if _read_rows(self._part(number), len(rows)) is None:
                part = maker.embed(manifest.select(rows), _of_all(progress, done, every))
                self._write(self._part(number), partial(np.save, arr=np.asarray(part.matrix)))
            done += len(rows)

    def join(self) -> Path:
        """Puts all parts, which must be there, into one matrix; gives its file.

        Parts are removed then, and what earlier calls have left of other sets or models.

        Raises:
            SamecarError: a part is not there or damaged, or the folder cannot be written.
        """
        if _read_rows(self._matrix, self.total) is None:
            found = {number: _read_rows(self._part(number), len(self._rows(number))) for number in range(self.count)}
            missing = [number + 1 for number, rows in found.items() if rows is None]
            if missing:
                raise SamecarError(
                    f"{self.folder} lacks part {missing[0]} of {self.count}, which another process has made; let all "
                    "processes see the same folder, and embed again"
                )
            self._write(self._matrix, lambda path: self._join_into(path, [found[number] for number in found]))
        for path in contents(self.folder):
            if path != self._matrix:
                path.unlink()
        return self._matrix

    def _join_into(self, path: Path, parts: list[Any]) -> None:
        matrix = np.lib.format.open_memmap(path, "w+", parts[0].dtype, (self.total, parts[0].shape[1]))
        for number, part in enumerate(parts):
            matrix[self._rows(number)] = part
        matrix.flush()

    def _write(self, path: Path, write: Callable[[Path], object]) -> None:
        try:
            make_folder(self.folder)
            with write_file(path) as temporary:
                write(temporary)
        except OSError as error:
            raise SamecarError(f"{self.folder} cannot be written: {error.strerror}; give another name") from error

    def _rows(self, number: int) -> range:
        return range(number * PART, min((number + 1) * PART, self.total))

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}-{self.identity}.npy"

    @property
    def _matrix(self) -> Path:
        return self.folder / f"matrix-{self.identity}.npy"


def parts_beside(path: Path) -> Path:
    """The folder for the parts of a file, beside it."""
    return path.with_name(f"{path.name}.parts")


@contextmanager
def keep_parts_beside(path: Path) -> Iterator[Path]:
    """Gives the folder for the parts of a file; they are removed when the block ends without an error."""
    folder = parts_beside(path)
    yield folder
    with suppress(OSError):  # the file is written, and what is left takes room alone
        _remove(folder)


def _refuse_others(folder: Path) -> None:
    """Refuses a folder in which something lies that is no part, and what is no folder."""
    if folder.exists() and not folder.is_dir():
        raise SamecarError(f"{folder} would keep what is embedded until it is written, and is a file; move it away")
    others = [path for path in contents(folder) if not _NAME.fullmatch(path.name)] if folder.exists() else []
    if others:
        raise SamecarError(
            f"{folder} would keep what is embedded until it is written, and holds {others[0].name}; move it away, or "
            "write to another name"
        )


def _remove(folder: Path) -> None:
    """Removes parts, and their folder where nothing else lies in it."""
    if not folder.is_dir():
        return
    clear_unfinished(folder)
    for path in contents(folder):
        if _NAME.fullmatch(path.name):
            path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _identify(manifest: Manifest, maker: Maker) -> str:
    """What changes when the model, what runs it, a file or the order of files does; files are told by size and time."""
    told = hashlib.sha256(f"{maker.model} {maker.runtime}".encode())
    for row in range(len(manifest)):
        path = manifest.absolute_path(row)
        try:
            found = path.stat()
            told.update(f"\n{path} {found.st_size} {found.st_mtime_ns}".encode())
        except (OSError, ValueError):  # whoever embeds it says so
            told.update(f"\n{path}".encode())
    return told.hexdigest()[:16]


def _read_rows(path: Path, count: int) -> NDArray[Any] | None:
    """The rows of a file, read as they are used; None where it is not there, damaged, or has another number of them."""
    try:
        rows = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.ndim == 2 and len(rows) == count else None


def _of_all(progress: Progress, before: int, every: int) -> Progress:
    """Tells how far all is of how far a part is."""

    def tell(task: str, done: int, total: int, note: str = "") -> None:  # noqa: ARG001 - of the part
        progress(task, before + done, every, note)

    return tell
