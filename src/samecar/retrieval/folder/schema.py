"""The form of a catalogue, and the way from every older form to the present one."""

import json
import sqlite3
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.retrieval.folder.writing import DamagedCatalogueError
from samecar.retrieval.records import EVERYTHING, Filter

_NOW = "(julianday('now') - 2440587.5) * 86400.0"  # seconds since 1970

STEPS = (
    (
        # Numbers are never used again, which AUTOINCREMENT sees to, so that they also tell what is new.
        """CREATE TABLE entries (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            content TEXT NOT NULL UNIQUE,
            address TEXT NOT NULL,
            camera_id TEXT NOT NULL,
            time REAL,
            track_id TEXT NOT NULL,
            vehicle_id TEXT NOT NULL
        )""",
        "CREATE INDEX entries_by_camera ON entries (camera_id, time)",
        "CREATE INDEX entries_by_time ON entries (time)",
        "CREATE INDEX entries_by_vehicle ON entries (vehicle_id) WHERE vehicle_id != ''",
        # Half precision, little-endian. Large values have tables of their own, so that entries are read quickly.
        """CREATE TABLE embeddings (
            id INTEGER PRIMARY KEY REFERENCES entries ON DELETE CASCADE,
            embedding BLOB NOT NULL
        )""",
        """CREATE TABLE thumbnails (
            id INTEGER PRIMARY KEY REFERENCES entries ON DELETE CASCADE,
            thumbnail BLOB NOT NULL
        )""",
        """CREATE TABLE labels (
            entry INTEGER NOT NULL REFERENCES entries ON DELETE CASCADE,
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (entry, name)
        ) WITHOUT ROWID""",
        "CREATE INDEX labels_by_value ON labels (name, value)",
        # For versions of samecar up to 96e5b3e, which asked it for entries.
        """CREATE VIEW sightings AS
            SELECT id, content, address, camera_id, time, track_id, vehicle_id,
                (SELECT json_group_object(name, value) FROM labels WHERE entry = entries.id) AS labels
            FROM entries""",
        # What an index must forget, in the order in which it was removed.
        "CREATE TABLE removals (number INTEGER PRIMARY KEY AUTOINCREMENT, entry INTEGER NOT NULL)",
        """CREATE TRIGGER removal AFTER DELETE ON entries
            BEGIN INSERT INTO removals (entry) VALUES (old.id); END""",
    ),
    (
        """CREATE TABLE judgements (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            query TEXT NOT NULL,
            entry INTEGER NOT NULL REFERENCES entries ON DELETE CASCADE,
            same INTEGER NOT NULL,
            query_picture BLOB,
            UNIQUE (query, entry)
        )""",
        "CREATE INDEX judgements_by_entry ON judgements (entry)",
    ),
    (
        "ALTER TABLE entries ADD COLUMN added REAL",
        f"UPDATE entries SET added = {_NOW}",  # noqa: S608 - a constant
        """CREATE TABLE previews (
            entry INTEGER NOT NULL REFERENCES entries ON DELETE CASCADE,
            place INTEGER NOT NULL,
            picture BLOB NOT NULL,
            seconds REAL,
            PRIMARY KEY (entry, place)
        )""",
    ),
)
"""Statements that lead from each version of the catalogue to the next, beginning with an empty file, version 0."""

VERSION = len(STEPS)
"""Of catalogues that this samecar writes."""

UNDATED = 2
"""Version of catalogues that are read where they cannot be brought to the present form: without dates of addition."""

PAGE_SIZE = 16384
"""Bytes of a page: embeddings of 512 to 2048 numbers fill it without much waste."""


def write_schema(connection: sqlite3.Connection) -> None:
    """Makes an empty catalogue of an empty file."""
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    migrate(connection)
    connection.execute("COMMIT")


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """Version of a catalogue that this samecar can read or bring up to its own.

    Raises:
        SamecarError: it is newer, or no catalogue at all.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise SamecarError(
            f"{path} has form {version}, made by a newer samecar; install that, this one knows forms up to {VERSION}"
        )
    if version < 1:
        raise SamecarError(f"{path} is no catalogue of a gallery; put the gallery back from a backup")
    return version


def migrate(connection: sqlite3.Connection) -> None:
    """Brings a catalogue to the present version, within the transaction that is open."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    for statements in STEPS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")


_LABELLED = "SELECT entry FROM labels WHERE name = ? AND value IN (SELECT value FROM json_each(?))"


def condition(allowed: Filter, version: int = VERSION) -> tuple[str, list[Any]]:
    """A filter on entries as SQL, in which nothing stands that was given, with the values that it asks for.

    Args:
        allowed: the filter.
        version: of the catalogue.
    """
    parts = _camera_and_time(allowed, version)
    if allowed.not_cameras:
        parts.append(("camera_id NOT IN (SELECT value FROM json_each(?))", [json.dumps(allowed.not_cameras)]))
    if allowed.not_ids:
        parts.append(("id NOT IN (SELECT value FROM json_each(?))", [json.dumps(allowed.not_ids)]))
    parts += [(f"id IN ({_LABELLED})", [name, json.dumps(choices)]) for name, choices in allowed.label_choices]
    return _join_conditions(parts)


def seen(version: int = VERSION) -> str:
    """From when the age of an entry counts, as SQL."""
    return "time" if version <= UNDATED else "ifnull(time, added)"


def mask(
    connection: sqlite3.Connection, allowed: Filter, last: int, version: int = VERSION
) -> NDArray[np.bool_] | None:
    """Whether a filter allows the entry of each number.

    Every condition is looked up in an index of its own, and `not_cameras` by what it leaves out, as that is quickest
    where there are many entries.

    Args:
        connection: to the catalogue.
        allowed: the filter.
        last: the largest number.
        version: of the catalogue.

    Returns:
        (last + 1,), true or false where no entry has that number; None if the filter allows all.
    """
    if allowed == EVERYTHING:
        return None
    chosen = np.ones(last + 1, bool)
    camera_and_time = _camera_and_time(allowed, version)
    if camera_and_time:
        text, values = _join_conditions(camera_and_time)
        chosen &= _mark(connection.execute(f"SELECT id FROM entries WHERE {text}", values), last)  # noqa: S608
    for name, choices in allowed.label_choices:
        chosen &= _mark(connection.execute(_LABELLED, [name, json.dumps(choices)]), last)
    if allowed.not_cameras:
        text, values = _join_conditions(_camera_and_time(Filter(cameras=allowed.not_cameras), version))
        chosen &= ~_mark(connection.execute(f"SELECT id FROM entries WHERE {text}", values), last)  # noqa: S608
    chosen[[number for number in allowed.not_ids if 0 <= number <= last]] = False
    return chosen


def _camera_and_time(allowed: Filter, version: int) -> list[tuple[str, list[Any]]]:
    parts: list[tuple[str, list[Any]]] = []
    if allowed.cameras:
        parts.append(("camera_id IN (SELECT value FROM json_each(?))", [json.dumps(allowed.cameras)]))
    if allowed.after is not None:
        parts.append(("time >= ?", [allowed.after]))
    if allowed.before is not None:
        parts.append(("time < ?", [allowed.before]))
    if allowed.older is not None:
        parts.append((f"{seen(version)} < ?", [allowed.older]))
    return parts


def _join_conditions(parts: list[tuple[str, list[Any]]]) -> tuple[str, list[Any]]:
    return " AND ".join(["TRUE", *(text for text, _ in parts)]), [value for _, values in parts for value in values]


def as_numbers(rows: Iterable[tuple[int]]) -> NDArray[np.int64]:
    """(rows,) whole numbers.

    Raises:
        DamagedCatalogueError: one is none.
    """
    try:
        return np.fromiter(chain.from_iterable(rows), np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DamagedCatalogueError("something else stands where numbers of entries should") from error


def _mark(rows: Iterable[tuple[int]], last: int) -> NDArray[np.bool_]:
    found = np.zeros(last + 1, bool)
    numbers = as_numbers(rows)
    if len(numbers) and (numbers.min() < 0 or numbers.max() > last):
        raise DamagedCatalogueError(f"it names entries beyond the last, {last:,}")
    found[numbers] = True
    return found
