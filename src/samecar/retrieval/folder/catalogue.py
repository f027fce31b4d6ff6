"""The catalogue of a gallery in a folder: what is stored, in SQLite."""

import json
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.retrieval.folder.schema import VERSION, checked_version, condition, migrate, write_schema
from samecar.retrieval.folder.writing import PATIENCE, WriterLock, told
from samecar.retrieval.records import (
    KNOWN,
    Addition,
    CameraSummary,
    Entry,
    Filter,
    Judgement,
    Sighting,
    Summary,
)

_LARGEST = 2**63 - 1  # whole number that SQLite knows

_ATTEMPTS = 5  # to read what others write to, without being able to hold them up

_COLUMNS = tuple(name for name in KNOWN if name != "labels")  # of an entry; labels have a table of their own

_ENTRY = f"SELECT id, content, {', '.join(KNOWN)} FROM sightings"  # noqa: S608 - names of fields

_BY_NUMBER = _ENTRY + " WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608

_INSERT = f"INSERT INTO entries (id, content, {', '.join(_COLUMNS)}) VALUES (?, ?{', ?' * len(_COLUMNS)})"  # noqa: S608

_UPDATE = f"UPDATE entries SET {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE id = ?"  # noqa: S608

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
        with told(path.parent):
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
        version = catalogue.read(lambda connection: checked_version(connection, path))
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
            before = self._state()
            try:
                with self._transaction("BEGIN", fixed=before.log is None) as connection:
                    found = work(connection)
            except Exception:  # whatever somebody makes of half a change
                if self._state() == before:
                    raise
            else:
                if before.log is not None or self._state() == before:
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
        with told(self._path.parent):
            connection = self._opened("mode=ro&immutable=1") if fixed else self._connection()
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

    def _connection(self) -> sqlite3.Connection:
        if self._closed:
            raise SamecarError(f"{self._path.parent} was closed; open it again")
        try:
            return self._idle.pop()
        except IndexError:
            connection = self._opened("mode=rw")  # does not make a file where none is
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")
            return connection

    def _opened(self, mode: str) -> sqlite3.Connection:
        address = f"{self._path.absolute().as_uri()}?{mode}"
        return sqlite3.connect(address, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=True)

    def _state(self) -> "_State":
        with told(self._path.parent):
            file = self._path.stat()
            try:
                log = self._path.with_name(f"{self._path.name}-wal").stat().st_ino
            except FileNotFoundError:
                log = None
            return _State(file.st_ino, file.st_size, file.st_mtime_ns, log)

    # --- entries ---

    def add(self, additions: Sequence[Addition], matrix: NDArray[np.float16]) -> list[int]:
        """Adds what is not known yet, all or nothing; gives the number of each.

        Args:
            additions: what is added.
            matrix: (additions, size) their embeddings as stored.
        """
        contents = [addition.sighting.content for addition in additions]
        with self.writing() as connection:
            numbers = _known(connection, contents)
            number = changes(connection).entry
            new = []
            for row, addition in enumerate(additions):
                if addition.sighting.content not in numbers:
                    number += 1
                    numbers[addition.sighting.content] = number
                    new.append((number, addition, matrix[row]))
            _insert(connection, new)
        return [numbers[content] for content in contents]

    def remove(self, ids: Sequence[int]) -> int:
        """Removes entries and what belongs to them; gives how many were there."""
        with self.writing() as connection:
            return connection.execute(
                "DELETE FROM entries WHERE id IN (SELECT value FROM json_each(?))", [_json(ids)]
            ).rowcount

    def update(self, id: int, change: Callable[[Sighting], Sighting]) -> Sighting | None:  # noqa: A002
        """Changes what is known about an entry; gives what is known then, None if there is no such entry.

        Raises:
            SamecarError: the content differs.
        """
        with self.writing() as connection:
            row = connection.execute(_BY_NUMBER, [_json([id])]).fetchone()
            if row is None:
                return None
            before = _read_entry(row).sighting
            sighting = change(before)
            if sighting.content != before.content:
                raise SamecarError(f"entry {id} shows another picture; remove it and add the new one instead")
            connection.execute(_UPDATE, [*_column_values(sighting), id])
            connection.execute("DELETE FROM labels WHERE entry = ?", [id])
            _insert_labels(connection, [(id, sighting.labels)])
            return sighting

    def known(self, contents: Sequence[str]) -> dict[str, int]:
        """Numbers of those contents that are there."""
        return self.read(lambda connection: _known(connection, contents))

    def entries(self, ids: Sequence[int]) -> dict[int, Entry]:
        """Entries by number; those that are not there are left out."""
        rows = self._rows(_BY_NUMBER, [_json(ids)])
        return {row[0]: _read_entry(row) for row in rows}

    def listed(self, allowed: Filter, beyond: int, limit: int) -> list[Entry]:
        """A page of allowed entries in the order of their numbers."""
        text, values = condition(allowed)
        statement = f"{_ENTRY} WHERE id > ? AND {text} ORDER BY id LIMIT ?"
        rows = self._rows(statement, [min(beyond, _LARGEST), *values, min(limit, _LARGEST)])
        return [_read_entry(row) for row in rows]

    def thumbnail(self, id: int) -> bytes | None:  # noqa: A002
        """A small JPEG; None if there is none."""
        statement = "SELECT thumbnail FROM thumbnails WHERE id IN (SELECT value FROM json_each(?))"
        rows = self._rows(statement, [_json([id])])
        return rows[0][0] if rows else None

    def summary(self) -> Summary:
        """How much there is."""
        return self.read(_summary)

    # --- judgements ---

    def judge(self, judgement: Judgement) -> None:
        """Keeps a judgement; an earlier one on the same pair is replaced.

        Raises:
            SamecarError: there is no such entry.
        """
        with self.writing() as connection:
            if not connection.execute(
                "SELECT 1 FROM entries WHERE id IN (SELECT value FROM json_each(?))", [_json([judgement.entry])]
            ).fetchone():
                raise SamecarError(f"the gallery has no entry {judgement.entry} to judge; list its entries")
            connection.execute(
                "INSERT OR REPLACE INTO judgements (query, entry, same, query_picture) VALUES (?, ?, ?, ?)",
                [judgement.query, judgement.entry, judgement.same, judgement.query_picture],
            )

    def withdraw(self, query: str, entry: int) -> bool:
        """Forgets a judgement; whether there was one."""
        with self.writing() as connection:
            statement = "DELETE FROM judgements WHERE query = ? AND entry IN (SELECT value FROM json_each(?))"
            return connection.execute(statement, [query, _json([entry])]).rowcount > 0

    def judgements(self, query: str | None = None, pictures: bool = False) -> list[Judgement]:
        """All judgements, or those on one query, oldest first, with or without the queries' pictures."""
        condition, values = ("", []) if query is None else ("WHERE query = ?", [query])
        picture = "query_picture" if pictures else "NULL"
        statement = f"SELECT query, entry, same, {picture} FROM judgements {condition} ORDER BY number"  # noqa: S608
        rows = self._rows(statement, values)
        return [Judgement(query, entry, bool(same), picture) for query, entry, same, picture in rows]

    def _rows(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self.read(lambda connection: connection.execute(statement, values).fetchall())

    # --- what an index is made of ---

    def stored(self, connection: sqlite3.Connection, ids: Sequence[int]) -> dict[int, NDArray[np.float16]]:
        """(size,) embeddings by number, as stored; those that are not there are left out."""
        rows = connection.execute(
            "SELECT id, embedding FROM embeddings WHERE id IN (SELECT value FROM json_each(?))", [_json(ids)]
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


def content_of(connection: sqlite3.Connection, number: int) -> str:
    """The content of an entry, "" where there is none."""
    row = connection.execute("SELECT content FROM entries WHERE id = ?", [number]).fetchone()
    return "" if row is None else str(row[0])


def removed(connection: sqlite3.Connection, beyond: int) -> NDArray[np.int64]:
    """Numbers of entries that were removed after a removal."""
    rows = connection.execute("SELECT entry FROM removals WHERE number > ?", [beyond])
    return np.fromiter((entry for (entry,) in rows), np.int64)


def _summary(connection: sqlite3.Connection) -> Summary:
    cameras = connection.execute(
        "SELECT camera_id, count(*), min(time), max(time) FROM entries GROUP BY camera_id ORDER BY camera_id"
    ).fetchall()
    vehicles = connection.execute("SELECT count(DISTINCT vehicle_id) FROM entries WHERE vehicle_id != ''").fetchone()[0]
    judgements = connection.execute("SELECT count(*) FROM judgements").fetchone()[0]
    rows = tuple(CameraSummary(*row) for row in cameras)
    return Summary(sum(row.pictures for row in rows), vehicles, judgements, rows)


def _known(connection: sqlite3.Connection, contents: Sequence[str]) -> dict[str, int]:
    rows = connection.execute(
        "SELECT content, id FROM entries WHERE content IN (SELECT value FROM json_each(?))",
        [json.dumps(list(contents))],
    )
    return dict(rows.fetchall())


def _insert(connection: sqlite3.Connection, new: Sequence[tuple[int, Addition, NDArray[np.float16]]]) -> None:
    connection.executemany(
        _INSERT,
        [(number, addition.sighting.content, *_column_values(addition.sighting)) for number, addition, _ in new],
    )
    connection.executemany(
        "INSERT INTO embeddings (id, embedding) VALUES (?, ?)",
        [(number, embedding.astype("<f2").tobytes()) for number, _, embedding in new],
    )
    connection.executemany(
        "INSERT INTO thumbnails (id, thumbnail) VALUES (?, ?)",
        [(number, addition.thumbnail) for number, addition, _ in new if addition.thumbnail is not None],
    )
    _insert_labels(connection, [(number, addition.sighting.labels) for number, addition, _ in new])


def _insert_labels(connection: sqlite3.Connection, labels: Sequence[tuple[int, Mapping[str, str]]]) -> None:
    connection.executemany(
        "INSERT INTO labels (entry, name, value) VALUES (?, ?, ?)",
        [(number, name, value) for number, texts in labels for name, value in texts.items()],
    )


def _column_values(sighting: Sighting) -> list[Any]:
    return [getattr(sighting, name) for name in _COLUMNS]


def _read_entry(row: tuple[Any, ...]) -> Entry:
    number, content, *values = row
    known = dict(zip(KNOWN, values, strict=True))
    return Entry(number, Sighting(content, **{**known, "labels": json.loads(known["labels"])}))


def _json(ids: Sequence[int]) -> str:
    return json.dumps([int(number) for number in ids])
