"""The file in which an index waits for the next opening, so that it need not be made of the catalogue anew."""

import errno
import json
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from samecar.files import clear_unfinished
from samecar.retrieval.folder.catalogue import Changes
from samecar.retrieval.folder.index import VectorIndex, find_damage
from samecar.retrieval.folder.library import faiss_module
from samecar.retrieval.folder.screen import Screen
from samecar.retrieval.folder.writing import replaced_file

_MARK = b"\nsamecar index "

_LINE = 512  # bytes at the end of a file that hold the mark and what follows it, filled with spaces

_LIMITS = threading.RLock()  # those of FAISS are the whole process's

_PORTION = 1 << 22  # bytes that a checksum is taken of at a time


class Snapshot(BaseModel):
    """What stands at the end of an index file, behind what FAISS writes and reads.

    Attributes:
        kind: of the index.
        size: numbers in an embedding.
        entry: the last entry of the catalogue that it has taken in.
        content: that of this entry, by which it is known again; "" in files of older versions.
        removal: the last removal that it has taken in.
        screened: whether the index's screen follows it.
        length: bytes of the index.
        checksum: CRC-32 of these bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    size: int
    entry: int
    content: str = ""
    removal: int
    screened: bool = False
    length: int
    checksum: int

    @property
    def changes(self) -> Changes:
        """How far it follows the catalogue."""
        return Changes(self.entry, self.removal)


class DamagedSnapshotError(Exception):
    """Why an index file cannot be used; the index is made of the catalogue then."""


def write_snapshot(path: Path, index: VectorIndex, size: int, holds: Changes, content: str) -> None:
    """Writes an index, whole or not at all; only one process may do so at a time.

    Args:
        path: the file.
        index: to be written.
        size: numbers in an embedding.
        holds: how far it follows the catalogue.
        content: of the last entry, "" where that was removed.

    Raises:
        SamecarError: it cannot be written.
    """
    clear_unfinished(path.parent)
    with replaced_file(path) as temporary:
        try:
            _write(index, temporary)
        except RuntimeError as error:  # whose text ends in the system's own words
            full = os.strerror(errno.ENOSPC) in str(error)
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error).splitlines()[0]) from error
        length = temporary.stat().st_size
        snapshot = Snapshot(
            kind=index.kind,
            size=size,
            entry=holds.entry,
            content=content,
            removal=holds.removal,
            screened=index.screen is not None,
            length=length,
            checksum=_checksum(temporary, length),
        )
        with temporary.open("ab") as file:
            file.write((_MARK + snapshot.model_dump_json().encode()).ljust(_LINE))


def read_snapshot(
    path: Path, kind: str, size: int, newest: Changes, read_content: Callable[[int], str]
) -> tuple[VectorIndex, Changes]:
    """Reads an index and how far it follows the catalogue; from the beginning, where it is replaced meanwhile.

    Args:
        path: the file.
        kind: that it must have.
        size: that it must have.
        newest: how far the catalogue is; an index that knows more belongs to another state of it.
        read_content: gives the content of an entry of the catalogue, "" where it is not there.

    Raises:
        DamagedSnapshotError: it is damaged, too new or of another kind.
        FileNotFoundError: there is none.
    """
    while True:
        before = _identify(path)
        try:
            taken = _read(path, kind, size, newest, read_content)
        except DamagedSnapshotError:
            if _identify(path) == before:
                raise
        else:
            if _identify(path) == before:
                return taken


def _write(index: VectorIndex, path: Path) -> None:
    faiss = faiss_module()
    writer = faiss.FileIOWriter(str(path))
    faiss.write_index(index.faiss_index, writer)
    if index.screen is not None:
        faiss.write_index(index.screen.faiss_index, writer)
    del writer  # which closes the file


def _identify(path: Path) -> tuple[int, int, int]:
    """What changes when a file is replaced."""
    state = path.stat()
    return state.st_ino, state.st_mtime_ns, state.st_size


def _read(
    path: Path, kind: str, size: int, newest: Changes, read_content: Callable[[int], str]
) -> tuple[VectorIndex, Changes]:
    snapshot = read_description(path)
    if (snapshot.kind, snapshot.size) != (kind, size):
        raise DamagedSnapshotError(f"it is of kind {snapshot.kind!r} with {snapshot.size} numbers for each embedding")
    if snapshot.entry > newest.entry or snapshot.removal > newest.removal:
        raise DamagedSnapshotError("it is newer than the catalogue")
    content = read_content(snapshot.entry)
    if content and snapshot.content and content != snapshot.content:
        raise DamagedSnapshotError("it belongs to another state of the catalogue")
    if _checksum(path, snapshot.length) != snapshot.checksum:
        raise DamagedSnapshotError("its checksum differs")
    try:
        index, screen = _read_faiss(path, snapshot)
    except (RuntimeError, MemoryError) as error:
        raise DamagedSnapshotError(f"FAISS refuses it: {str(error).splitlines()[0]}") from error
    damage = find_damage(index, kind, size, snapshot.entry)
    if damage is None and screen is not None and screen.ntotal != index.ntotal:
        damage = "its screen has other entries"
    if damage is not None:
        raise DamagedSnapshotError(damage)
    try:
        return VectorIndex(kind, index, None if screen is None else Screen.of(screen, size)), snapshot.changes
    except (RuntimeError, AttributeError, TypeError, ValueError) as error:
        raise DamagedSnapshotError("its screen is none") from error


def _read_faiss(path: Path, snapshot: Snapshot) -> tuple[Any, Any]:
    """The index of a file, and its screen or None; nothing in it may be larger than the file is."""
    faiss = faiss_module()
    with _limited_vectors(faiss, snapshot.length):
        reader = faiss.FileIOReader(str(path))
        return faiss.read_index(reader), faiss.read_index(reader) if snapshot.screened else None


@contextmanager
def _limited_vectors(faiss: Any, size: int) -> Iterator[None]:
    """Has FAISS refuse vectors of more bytes than `size` meanwhile, which it can since 1.15."""
    if not hasattr(faiss, "set_deserialization_vector_byte_limit"):
        yield
        return
    with _LIMITS:
        before = faiss.get_deserialization_vector_byte_limit()
        faiss.set_deserialization_vector_byte_limit(size)
        try:
            yield
        finally:
            faiss.set_deserialization_vector_byte_limit(before)


def read_description(path: Path) -> Snapshot:
    """What a file says that it holds.

    Raises:
        DamagedSnapshotError: it does not say.
        FileNotFoundError: there is none.
    """
    if path.exists() and not path.is_file():  # a pipe or a device, which may never end
        raise DamagedSnapshotError("it is no file")
    with path.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(max(length - _LINE, 0))
        mark, line = file.read(len(_MARK)), file.read()
    if mark != _MARK:
        raise DamagedSnapshotError("its end is missing")
    try:
        snapshot = Snapshot.model_validate(json.loads(line))
    except (ValueError, ValidationError, RecursionError) as error:
        raise DamagedSnapshotError("its end is damaged") from error
    if snapshot.length != length - _LINE:
        raise DamagedSnapshotError("a part of it is missing")
    return snapshot


def _checksum(path: Path, length: int) -> int:
    checksum = 0
    with path.open("rb") as file:
        while length > 0 and (portion := file.read(min(_PORTION, length))):
            checksum = zlib.crc32(portion, checksum)
            length -= len(portion)
    return checksum
