"""The catalogue of a gallery in a folder: what is stored, in SQLite."""

import json
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.retrieval.folder.schema import VERSION, check_version, migrate, write_schema
from samecar.retrieval.folder.writing import PATIENCE, WriterLock, translate_errors

_ATTEMPTS = 5  # to read what others write to, without being able to hold them up

Result = TypeVar("Result")


class Changes(NamedTuple):
    """How far something follows the catalogue.

    Attributes:
        entry: the last entry that it has taken in.
        removal: the last removal that it has taken in.
    """

    entry: int
    removal: int


class _State(NamedTuple):
    """Differs when the catalogue's file was written to, or when somebody began or ended to write.

    Attributes:
        file: number of the file on its disk.
        size: bytes in it.
        changed: when, in nanoseconds.
        log: number of the file beside it that tells of a writer; None if there is none.
    """

    file: int
    size: int
    changed: int
    log: int | None


class Catalogue:
    """Entries, embeddings, thumbnails and judgements, shared by threads and processes.

    Args:
        path: the SQLite file.
        lock: held while writing.
        size: numbers in an embedding.
    """

    def __init__(self, path: Path, lock: WriterLock, size: int) -> None:
        self._path = path
        self._lock = lock
        self._size = size
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False

    @staticmethod
    def create(path: Path) -> None:
        """Makes an empty catalogue.

        Raises:
            SamecarError: it cannot be written.
        """
        with translate_errors(path.parent):
            connection = sqlite3.connect(path, isolation_level=None)
            try:
                write_schema(connection)
            finally:
                connection.close()

    @classmethod
    def open(cls, path: Path, lock: WriterLock, size: int) -> Self:
        """Opens a catalogue, and brings an older one to the present form.

        Raises:
            SamecarError: it is absent, damaged or newer than this samecar.
        """
        catalogue = cls(path, lock, size)
        version = catalogue.read(lambda connection: check_version(connection, path))
        if version < VERSION:
            with catalogue.writing() as connection:
                migrate(connection)
        return catalogue

    def close(self) -> None:
        """Closes what is not in use; may be called twice."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """What some work finds in the catalogue as it is now, whatever is written meanwhile.

        SQLite keeps files beside the catalogue while it is in use, also by readers. Where none can be made, because
        disk or folder cannot be written to, and no writer's lie there, the catalogue is read without them. Nobody holds
        up a writer then: if there was one the work is done again, from the beginning.

        Args:
            work: reads with the connection that it is given; may be done several times.

        Raises:
            SamecarError: the catalogue cannot be read, or was written to during every attempt.
        """
        if os.access(self._path.parent, os.W_OK):
            with self._transaction("BEGIN") as connection:
                return work(connection)
        for _ in range(_ATTEMPTS):
            before = self._read_state()
            try:
                with self._transaction("BEGIN", fixed=before.log is None) as connection:
                    found = work(connection)
            except Exception:  # whatever somebody makes of half a change
                if self._read_state() == before:
                    raise
            else:
                if before.log is not None or self._read_state() == before:
                    return found
        raise SamecarError(
            f"{self._path.parent} cannot be written to, and was changed by somebody else each time that it was read; "
            "do it again when that is done"
        )

    @contextmanager
    def writing(self, patience: float = PATIENCE) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are all made, durably, when the block ends, or none when it fails."""
        with self._lock.held(patience), self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str, *, fixed: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction; a fixed one takes the file for one that nobody changes."""
        with translate_errors(self._path.parent):
            connection = self._open_file("mode=ro&immutable=1") if fixed else self._take_connection()
            try:
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.close()  # which rolls back
                raise
            if fixed:
                connection.close()  # it would not see what somebody else may change afterwards
                return
            self._idle.append(connection)
            if self._closed:
                self.close()

    def _take_connection(self) -> sqlite3.Connection:
        if self._closed:
            raise SamecarError(f"{self._path.parent} was closed; open it again")
        try:
            return self._idle.pop()
        except IndexError:
            connection = self._open_file("mode=rw")  # does not make a file where none is
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
            return connection

    def _open_file(self, mode: str) -> sqlite3.Connection:
        address = f"{self._path.absolute().as_uri()}?{mode}"
        return sqlite3.connect(address, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=True)

    def _read_state(self) -> "_State":
        with translate_errors(self._path.parent):
            file = self._path.stat()
            try:
                log = self._path.with_name(f"{self._path.name}-wal").stat().st_ino
            except FileNotFoundError:
                log = None
            return _State(file.st_ino, file.st_size, file.st_mtime_ns, log)

    # --- what an index is made of ---

    def stored(self, connection: sqlite3.Connection, ids: Sequence[int]) -> dict[int, NDArray[np.float16]]:
        """(size,) embeddings by number, as stored; those that are not there are left out."""
        rows = connection.execute(
            "SELECT id, embedding FROM embeddings WHERE id IN (SELECT value FROM json_each(?))", [json_ids(ids)]
        )
        return {number: np.frombuffer(embedding, "<f2") for number, embedding in rows}

    def added(
        self, connection: sqlite3.Connection, beyond: int, rows: int = 8192
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        """Numbers and (entries, size) embeddings of what was added beyond an entry, in portions."""
        cursor = connection.execute("SELECT id, embedding FROM embeddings WHERE id > ? ORDER BY id", [beyond])
        while portion := cursor.fetchmany(rows):
            matrix = np.frombuffer(b"".join(embedding for _, embedding in portion), "<f2")
            yield np.array([number for number, _ in portion], np.int64), matrix.reshape(len(portion), self._size)


def changes(connection: sqlite3.Connection) -> Changes:
    """The last entry and the last removal there ever were."""
    last = dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    return Changes(last.get("entries", 0), last.get("removals", 0))


def read_content(connection: sqlite3.Connection, number: int) -> str:
    """The content of an entry, "" where there is none."""
    row = connection.execute("SELECT content FROM entries WHERE id = ?", [number]).fetchone()
    return "" if row is None else str(row[0])


def removed(connection: sqlite3.Connection, beyond: int) -> NDArray[np.int64]:
    """Numbers of entries that were removed after a removal."""
    rows = connection.execute("SELECT entry FROM removals WHERE number > ?", [beyond])
    return np.fromiter((entry for (entry,) in rows), np.int64)


def json_ids(ids: Sequence[int]) -> str:
    """Numbers as statements with `json_each(?)` take them: any number of them is one value."""
    return json.dumps([int(number) for number in ids])
