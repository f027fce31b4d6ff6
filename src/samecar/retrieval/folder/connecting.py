"""Connections to a catalogue that anybody may have made: no work without end, no code of others, no huge value.

These are the defences that SQLite's own "Defense Against The Dark Arts" advises for files of others.
"""

import sqlite3
import sys
from functools import cache
from pathlib import Path
from typing import Final

from samecar.retrieval.folder.schema import STEPS
from samecar.retrieval.folder.writing import PATIENCE, DamagedCatalogueError

LARGEST_VALUE: Final = 1 << 26
"""Bytes of a value, and of a row: far more than thumbnails, judged pictures and lists of numbers have."""

_LEAST_STEPS: Final = 50_000_000
"""Of SQLite's machine, that a transaction may take whatever the file's size: half a second."""

_STEPS_PER_BYTE: Final = 10
"""Further steps for each byte of the file; checking and copying all that is in it takes less than one."""

_STEPS_AT_ONCE: Final = 100_000  # between two looks at how many are left

_DEFENSIVE: Final = getattr(sqlite3, "SQLITE_DBCONFIG_DEFENSIVE", None)  # older SQLite has none

_STATISTICS: Final = ("sqlite_stat1", "sqlite_stat4")
"""Tables in which SQLite notes how values are spread, if somebody asks it to."""


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Opens a catalogue, which must be there.

    Args:
        path: of the file.
        mode: how, as parameters of a file's URI.
    """
    address = f"{path.absolute().as_uri()}?{mode}"
    connection = sqlite3.connect(address, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=True)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
    if sys.version_info >= (3, 12) and _DEFENSIVE is not None:
        connection.setconfig(_DEFENSIVE, True)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def limit_work(connection: sqlite3.Connection, path: Path) -> None:
    """Ends the transaction that is to begin when it takes far more work than a file of that size can need."""
    log = path.with_name(f"{path.name}-wal")
    size = sum(file.stat().st_size for file in (path, log) if file.exists())
    looks = iter(range((_LEAST_STEPS + _STEPS_PER_BYTE * size) // _STEPS_AT_ONCE))
    connection.set_progress_handler(lambda: next(looks, None) is None, _STEPS_AT_ONCE)


def refuse_other_schema(connection: sqlite3.Connection, version: int) -> None:
    """Checks that tables, indexes, views and triggers are those that samecar makes, as they run with every statement.

    Raises:
        DamagedCatalogueError: one is missing, is another one, or is not samecar's.
    """
    found, expected = _read_schema(connection), _expected_schema(version)
    for kind, name in sorted(found.keys() ^ expected.keys()):
        said = f"it lacks the {kind}" if (kind, name) in expected else f"somebody else has added the {kind}"
        raise DamagedCatalogueError(f"{said} {name!r}")
    for kind, name in sorted(found):
        if found[kind, name] != expected[kind, name]:
            raise DamagedCatalogueError(f"its {kind} {name!r} is not the one that samecar makes")


@cache
def _expected_schema(version: int) -> dict[tuple[str, str], str]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for statement in (statement for step in STEPS[:version] for statement in step):
            connection.execute(statement)
        return _read_schema(connection)
    finally:
        connection.close()


def _read_schema(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Statements that make what there is, by kind and name; blanks in them do not count."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_schema")
    return {
        (str(kind), str(name)): " ".join(str(statement).split())
        for kind, name, statement in rows
        if not (kind == "table" and name in _STATISTICS)
    }
