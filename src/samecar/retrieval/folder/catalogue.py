"""The catalogue of a gallery in a folder: what is stored, in SQLite."""

import json
import logging
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.retrieval.folder.connecting import connect, limit_work, refuse_other_schema
from samecar.retrieval.folder.schema import UNDATED, VERSION, as_numbers, check_version, migrate, write_schema
from samecar.retrieval.folder.writing import PATIENCE, DamagedCatalogueError, WriterLock, lacks_room, translate_errors

_LOG = logging.getLogger(__name__)

_ATTEMPTS = 5  # to read what others write to, without being able to hold them up

LARGEST_NUMBER = 1 << 29
"""That an entry can have: searches with a filter take a byte for each number up to the last."""

_EMBEDDINGS = (
    "SELECT id, CASE WHEN typeof(embedding) = 'blob' AND length(embedding) = ? THEN embedding END FROM embeddings"
)

_USED = """
    SELECT ifnull((SELECT min(id) FROM entries), 0), ifnull((SELECT max(id) FROM entries), 0),
        ifnull((SELECT min(id) FROM embeddings), 0), ifnull((SELECT max(id) FROM embeddings), 0),
        ifnull((SELECT max(number) FROM removals), 0)"""

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
        log: number of the file beside it that tells of a writer; None if there is none, or nothing in it.
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

    Attributes:
        version: of its form; an older one than the present where it could not be written to so far.
    """

    def __init__(self, path: Path, lock: WriterLock, size: int) -> None:
        self.version = VERSION
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
        """Opens a catalogue, and brings an older one to the present form, at the latest when it is first written to.

        Raises:
            SamecarError: it is absent, damaged or newer than this samecar, or so old that it cannot be read as it is,
                and cannot be written to.
        """
        catalogue = cls(path, lock, size)
        catalogue.version = catalogue.read(lambda connection: _check_form(connection, path))
        if catalogue.version < VERSION:
            try:
                with catalogue.writing():
                    pass
            except SamecarError as error:
                if catalogue.version < UNDATED:
                    raise
                _LOG.info("%s is read in its older form: %s", path, error)
        return catalogue

    def close(self) -> None:
        """Closes what is not in use; may be called twice."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """What some work finds in the catalogue as it is now, whatever is written meanwhile.

        SQLite keeps files beside the catalogue while it is in use, also by readers. Where none can be made, because
        the disk is full or disk or folder cannot be written to, and no writer's lie there, the catalogue is read
        without them. Nobody holds up a writer then: if there was one the work is done again, from the beginning.

        Args:
            work: reads with the connection that it is given; may be done several times.

        Raises:
            SamecarError: the catalogue cannot be read, or was written to during every attempt.
        """
        if os.access(self._path.parent, os.W_OK):
            try:
                with self._transaction("BEGIN") as connection:
                    return work(connection)
            except SamecarError as error:
                if not lacks_room(error.__cause__) or self._read_state().log is not None:
                    raise
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

    def copy_to(self, path: Path) -> None:
        """Writes a copy, as the catalogue is now, into a new file."""

        def copy(connection: sqlite3.Connection) -> None:
            with closing(sqlite3.connect(path)) as target:
                connection.backup(target)

        self.read(copy)

    @contextmanager
    def writing(self, patience: float = PATIENCE) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are all made, durably, when the block ends, or none when it fails."""
        with self._lock.held(patience):
            with self._transaction("BEGIN IMMEDIATE") as connection:
                if self.version < VERSION:
                    migrate(connection)
                yield connection
            self.version = VERSION

    def compact(self, *, full: bool) -> bool:
        """Has nothing remain of what was removed: neither in the file, where it was overwritten, nor in its log.

        Args:
            full: the file is written anew, which also takes away what versions of before did not overwrite.

        Returns:
            Whether nothing remains; false while somebody reads what was there before.

        Raises:
            SamecarError: it cannot be written to.
        """
        with self._lock.held(), translate_errors(self._path.parent):
            connection = self._take_connection()
            connection.set_progress_handler(None, 0)  # writing the whole file anew takes what it takes
            try:
                if full:
                    connection.execute("VACUUM")
                busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                connection.close()
        return not busy

    @contextmanager
    def _transaction(self, begin: str, *, fixed: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction; a fixed one takes the file for one that nobody changes."""
        with translate_errors(self._path.parent):
            connection = connect(self._path, "mode=ro&immutable=1") if fixed else self._take_connection()
            try:
                limit_work(connection, self._path)
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
            connection = connect(self._path, "mode=rw")  # does not make a file where none is
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")  # what is removed is overwritten
            return connection

    def _read_state(self) -> "_State":
        with translate_errors(self._path.parent):
            file = self._path.stat()
            try:
                beside = self._path.with_name(f"{self._path.name}-wal").stat()
                log = beside.st_ino if beside.st_size else None
            except FileNotFoundError:
                log = None
            return _State(file.st_ino, file.st_size, file.st_mtime_ns, log)

    # --- what an index is made of ---

    def stored(self, connection: sqlite3.Connection, ids: Sequence[int]) -> dict[int, NDArray[np.float16]]:
        """(size,) embeddings by number, as stored; those that are not there are left out."""
        statement = f"{_EMBEDDINGS} WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 - a constant
        rows = connection.execute(statement, [2 * self._size, json_ids(ids)])
        return {number: self._as_matrix([(number, embedding)])[0] for number, embedding in rows}

    def added(
        self, connection: sqlite3.Connection, beyond: int, rows: int = 8192
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        """Numbers and (entries, size) embeddings of what was added beyond an entry, in portions."""
        cursor = connection.execute(f"{_EMBEDDINGS} WHERE id > ? ORDER BY id", [2 * self._size, beyond])
        while portion := cursor.fetchmany(rows):
            ids = np.array([number for number, _ in portion], np.int64)
            if ids[0] <= beyond or (np.diff(ids) <= 0).any():
                raise DamagedCatalogueError("its embeddings do not stand in the order of their numbers")
            beyond = int(ids[-1])
            yield ids, self._as_matrix(portion)

    def _as_matrix(self, rows: Sequence[tuple[int, bytes | None]]) -> NDArray[np.float16]:
        """(rows, size) of numbers with embeddings, which are None where they have another size."""
        missing = [number for number, embedding in rows if embedding is None]
        if missing:
            raise DamagedCatalogueError(f"the embedding of entry {missing[0]} has not {self._size} numbers")
        matrix = np.frombuffer(b"".join(embedding for _, embedding in rows if embedding is not None), "<f2")
        return matrix.reshape(len(rows), self._size)


def changes(connection: sqlite3.Connection) -> Changes:
    """The last entry and the last removal there ever were.

    Raises:
        DamagedCatalogueError: the numbers in use are others than those that were given.
    """
    given = dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    last = Changes(given.get("entries", 0), given.get("removals", 0))
    used = connection.execute(_USED).fetchone()
    if not all(isinstance(number, int) for number in (*last, *used)):
        raise DamagedCatalogueError("it counts its entries in what is no number")
    if min(used) < 0 or max(used[:-1]) > last.entry or used[-1] > last.removal or last.entry > LARGEST_NUMBER:
        raise DamagedCatalogueError(
            f"its entries have numbers from {min(used):,} to {max(used[:-1]):,}, and the last that was given is "
            f"{last.entry:,}"
        )
    return last


def read_content(connection: sqlite3.Connection, number: int) -> str:
    """The content of an entry, "" where there is none."""
    row = connection.execute("SELECT content FROM entries WHERE id = ?", [number]).fetchone()
    return "" if row is None else str(row[0])


def removed(connection: sqlite3.Connection, beyond: int) -> NDArray[np.int64]:
    """Numbers of entries that were removed after a removal."""
    return as_numbers(connection.execute("SELECT entry FROM removals WHERE number > ?", [beyond]))


def json_ids(ids: Sequence[int]) -> str:
    """Numbers as statements with `json_each(?)` take them: any number of them is one value."""
    return json.dumps([int(number) for number in ids])


def _check_form(connection: sqlite3.Connection, path: Path) -> int:
    """Version of a catalogue that is what samecar makes of that version."""
    version = check_version(connection, path)
    refuse_other_schema(connection, version)
    return version
