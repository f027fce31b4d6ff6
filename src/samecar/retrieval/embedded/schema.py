"""The form of a catalogue, and the way from every older form to the present one."""

import sqlite3
from pathlib import Path

from samecar.errors import SamecarError

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
)
"""Statements that lead from each version of the catalogue to the next, beginning with an empty file, version 0."""

VERSION = len(STEPS)
"""Of catalogues that this samecar writes."""

PAGE_SIZE = 16384
"""Bytes of a page: embeddings of 512 to 2048 numbers fill it without much waste."""


def write_schema(connection: sqlite3.Connection) -> None:
    """Makes an empty catalogue of an empty file."""
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    migrate(connection)
    connection.execute("COMMIT")


def checked_version(connection: sqlite3.Connection, path: Path) -> int:
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
