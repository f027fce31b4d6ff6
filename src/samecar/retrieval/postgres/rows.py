"""Entries as rows of a gallery's tables."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg.types.json import Jsonb

from samecar.errors import SamecarError
from samecar.retrieval.postgres.connections import Cursor
from samecar.retrieval.postgres.tables import COLUMNS, Tables
from samecar.retrieval.records import Addition, Entry, Sighting

ENTRY: Final = "SELECT id, content, {columns} FROM {entries} JOIN {contents} USING (id) "

BY_NUMBER: Final = ENTRY + "WHERE id = ANY(%s)"


def insert_entries(
    cursor: Cursor, tables: Tables, new: Sequence[tuple[int, Addition, NDArray[np.float16] | HalfVector]]
) -> None:
    """Inserts what is known, embeddings and thumbnails of entries whose contents have their numbers already."""
    text: LiteralString = "COPY {entries} (id, {columns}, embedding) FROM STDIN (FORMAT BINARY)"
    with cursor.copy(tables.statement(text)) as copy:
        types = [definition.removesuffix(" NOT NULL") for definition in COLUMNS.values()]
        copy.set_types(["bigint", *types, "halfvec"])
        for number, addition, embedding in new:
            halves = embedding if isinstance(embedding, HalfVector) else HalfVector(embedding)
            copy.write_row((number, *column_values(addition.sighting), halves))
    cursor.executemany(
        tables.statement("INSERT INTO {thumbnails} (id, picture) VALUES (%s, %s)"),
        [(number, addition.thumbnail) for number, addition, _ in new if addition.thumbnail is not None],
    )


def column_values(sighting: Sighting) -> list[Any]:
    """What the table of entries holds of a sighting, in the order of `COLUMNS`."""
    known = {**sighting.known, "labels": Jsonb(dict(sighting.labels))}
    return [known[name] for name in COLUMNS]


def read_entry(row: tuple[Any, ...]) -> Entry:
    """The entry of a row that `ENTRY` gives."""
    number, content, *values = row
    return Entry(number, Sighting(content, **dict(zip(COLUMNS, values, strict=True))))


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
