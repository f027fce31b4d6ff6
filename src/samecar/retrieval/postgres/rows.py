"""Entries as rows of a gallery's tables."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg import sql
from psycopg.types.json import Jsonb

from samecar.errors import SamecarError
from samecar.retrieval.postgres.connections import Cursor
from samecar.retrieval.postgres.tables import COLUMNS, Tables
from samecar.retrieval.records import Addition, Entry, Sighting

ENTRY: Final = "SELECT id, content, {columns}, {added} FROM {entries} JOIN {contents} USING (id) "

BY_NUMBER: Final = ENTRY + "WHERE id = ANY(%s)"


def insert_entries(
    cursor: Cursor, tables: Tables, new: Sequence[tuple[int, Addition, NDArray[np.float16] | HalfVector]]
) -> None:
    """Inserts what is known, embeddings and pictures of entries whose contents have their numbers already."""
    text: LiteralString = "COPY {entries} (id, {columns}, embedding{further}) FROM STDIN (FORMAT BINARY)"
    now = time.time()
    with cursor.copy(tables.statement(text, further=sql.SQL(", added" if tables.dated else ""))) as copy:
        types = [definition.removesuffix(" NOT NULL") for definition in COLUMNS.values()]
        copy.set_types(["bigint", *types, "halfvec", *(["double precision"] if tables.dated else [])])
        for number, addition, embedding in new:
            halves = embedding if isinstance(embedding, HalfVector) else HalfVector(embedding)
            further = [now if addition.added is None else addition.added] if tables.dated else []
            copy.write_row((number, *column_values(addition.sighting), halves, *further))
    cursor.executemany(
        tables.statement("INSERT INTO {thumbnails} (id, picture) VALUES (%s, %s)"),
        [(number, addition.thumbnail) for number, addition, _ in new if addition.thumbnail is not None],
    )
    previews = [
        (number, place, preview.picture, preview.seconds)
        for number, addition, _ in new
        for place, preview in enumerate(addition.previews)
    ]
    if previews:  # galleries of before have no table for them
        text = "INSERT INTO {previews} (id, place, picture, seconds) VALUES (%s, %s, %s, %s)"
        cursor.executemany(tables.statement(text), previews)


def column_values(sighting: Sighting) -> list[Any]:
    """What the table of entries holds of a sighting, in the order of `COLUMNS`."""
    known = {**sighting.known, "labels": Jsonb(dict(sighting.labels))}
    return [known[name] for name in COLUMNS]


def read_entry(row: tuple[Any, ...]) -> Entry:
    """The entry of a row that `ENTRY` gives."""
    number, content, *values, added = row
    return Entry(number, Sighting(content, **dict(zip(COLUMNS, values, strict=True))), added)


def stack_embeddings(ids: Sequence[int], stored: Mapping[int, HalfVector], size: int) -> NDArray[np.float32]:
    """Embeddings in the order of numbers, (ids, size).

    Raises:
        SamecarError: one is not there.
    """
    matrix = np.empty((len(ids), size), np.float32)
    for row, number in enumerate(ids):
        if number not in stored:
            raise SamecarError(f"the gallery has no entry {number}; list its entries")
        matrix[row] = stored[number].to_numpy()
    return matrix
