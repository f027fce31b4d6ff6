"""Galleries in folders as earlier versions left them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from samecar.retrieval.folder import schema


def make_older(folder: Path, version: int) -> None:
    """Gives a gallery the catalogue of an earlier version, with as much of what it holds as that knew."""
    older = folder / "older.sqlite"
    with (
        closing(sqlite3.connect(older, isolation_level=None)) as connection,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(schema, "STEPS", schema.STEPS[:version])
        patch.setattr(schema, "VERSION", version)
        schema.write_schema(connection)
        connection.execute("ATTACH ? AS present", [str(folder / "catalogue.sqlite")])
        tables = ["entries", "embeddings", "thumbnails", "labels", "removals", "judgements"]
        for table in tables[: 4 + version]:
            columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
            connection.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM present.{table}")
    older.replace(folder / "catalogue.sqlite")
