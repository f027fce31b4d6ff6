"""The entries and judgements of a gallery in a folder: the part of the engine's contract that its catalogue keeps."""

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samecar.errors import SamecarError
from samecar.retrieval.engine import Engine, refuse_contrary
from samecar.retrieval.folder.catalogue import Catalogue, changes, json_ids
from samecar.retrieval.folder.schema import UNDATED, condition
from samecar.retrieval.folder.writing import DamagedCatalogueError
from samecar.retrieval.records import (
    EVERYTHING,
    KNOWN,
    LISTED_VALUES,
    TEXTS,
    Addition,
    CameraSummary,
    Entry,
    Filter,
    Judgement,
    LabelValue,
    Preview,
    Sighting,
    Summary,
    group_values,
)
from samecar.retrieval.times import known_time_text

_LARGEST = 2**63 - 1  # whole number that SQLite knows

_COLUMNS = tuple(name for name in KNOWN if name != "labels")  # of an entry; labels have a table of their own

_LABELS = "(SELECT json_group_object(name, value) FROM labels WHERE entry = entries.id)"

_FIELDS = f"id, content, {', '.join(KNOWN).replace('labels', _LABELS)}"

_BY_NUMBER = "id IN (SELECT value FROM json_each(?))"

_INSERT = (
    f"INSERT INTO entries (id, content, {', '.join(_COLUMNS)}, added) "  # noqa: S608 - names of fields
    f"VALUES (?, ?{', ?' * len(_COLUMNS)}, ?)"
)

_UPDATE = f"UPDATE entries SET {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE id = ?"  # noqa: S608


class CatalogueEngine(Engine):
    """An engine as far as a catalogue alone can be one; what it does not say is said in `Engine`.

    Args:
        catalogue: what keeps entries and judgements.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def _add(self, additions: Sequence[Addition], matrix: NDArray[np.float16]) -> list[int]:
        """Adds what is not known yet, all or nothing; gives the number of each.

        Args:
            additions: what is added.
            matrix: (additions, size) their embeddings as stored.
        """
        contents = [addition.sighting.content for addition in additions]
        with self._catalogue.writing() as connection:
            numbers = _find_known(connection, contents)
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
        with self._catalogue.writing() as connection:
            numbers = [json_ids(ids)]
            connection.execute(
                f"DELETE FROM judgements WHERE query IN (SELECT content FROM entries WHERE {_BY_NUMBER})",  # noqa: S608
                numbers,
            )
            return connection.execute(f"DELETE FROM entries WHERE {_BY_NUMBER}", numbers).rowcount  # noqa: S608

    def update(self, id: int, change: Callable[[Sighting], Sighting]) -> Sighting | None:  # noqa: A002
        with self._catalogue.writing() as connection:
            row = connection.execute(self._statement(_BY_NUMBER), [json_ids([id])]).fetchone()
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

    def set_labels(self, name: str, values: Mapping[int, str]) -> None:
        ids = json_ids(list(values))
        with self._catalogue.writing() as connection:
            rows = connection.execute(f"SELECT id FROM entries WHERE {_BY_NUMBER}", [ids])  # noqa: S608
            there = [number for (number,) in rows]
            statement = "DELETE FROM labels WHERE name = ? AND entry IN (SELECT value FROM json_each(?))"
            connection.execute(statement, [name, ids])
            _insert_labels(connection, [(number, {name: values[number]}) for number in there if values[number]])

    def known(self, contents: Sequence[str]) -> dict[str, int]:
        return self._catalogue.read(lambda connection: _find_known(connection, contents))

    def entries(self, ids: Sequence[int]) -> dict[int, Entry]:
        return {entry.id: entry for entry in self._read_entries(_BY_NUMBER, [json_ids(ids)])}

    def listed(self, allowed: Filter = EVERYTHING, *, beyond: int = 0, limit: int = 1000) -> list[Entry]:
        text, values = condition(allowed, self._catalogue.version)
        return self._read_entries(
            f"id > ? AND {text} ORDER BY id LIMIT ?", [min(beyond, _LARGEST), *values, min(limit, _LARGEST)]
        )

    def thumbnail(self, id: int) -> bytes | None:  # noqa: A002
        statement = "SELECT thumbnail FROM thumbnails WHERE id IN (SELECT value FROM json_each(?))"
        rows = self._rows(statement, [json_ids([id])])
        return rows[0][0] if rows and isinstance(rows[0][0], bytes) else None

    def previews(self, id: int) -> list[Preview]:  # noqa: A002
        if self._catalogue.version <= UNDATED:
            return []
        statement = (
            "SELECT picture, seconds FROM previews WHERE entry IN (SELECT value FROM json_each(?)) ORDER BY place"
        )
        return [Preview(*row) for row in self._rows(statement, [json_ids([id])]) if isinstance(row[0], bytes)]

    def keep_dates(self) -> None:
        with self._catalogue.writing():
            pass  # which brings an older catalogue to the form that has them

    def summary(self) -> Summary:
        return self._catalogue.read(_count_all)

    def label_values(self) -> dict[str, list[LabelValue]]:
        return group_values(self._rows(_VALUES, [LISTED_VALUES, LISTED_VALUES]))

    # --- judgements ---

    def judge(self, judgement: Judgement, *, replaces: bool = True) -> bool | None:
        with self._catalogue.writing() as connection:
            if not connection.execute(
                "SELECT 1 FROM entries WHERE id IN (SELECT value FROM json_each(?))", [json_ids([judgement.entry])]
            ).fetchone():
                raise SamecarError(f"the gallery has no entry {judgement.entry} to judge; list its entries")
            said = _find_word(connection, judgement.query, judgement.entry)
            refuse_contrary(judgement.entry, said, None if replaces else judgement.same)
            connection.execute(
                "INSERT OR REPLACE INTO judgements (query, entry, same, query_picture) VALUES (?, ?, ?, ?)",
                [judgement.query, judgement.entry, judgement.same, judgement.query_picture],
            )
            return said

    def withdraw(self, query: str, entry: int, same: bool | None = None) -> bool:
        with self._catalogue.writing() as connection:
            refuse_contrary(entry, _find_word(connection, query, entry), same)
            statement = "DELETE FROM judgements WHERE query = ? AND entry IN (SELECT value FROM json_each(?))"
            return connection.execute(statement, [query, json_ids([entry])]).rowcount > 0

    def judgements(self, query: str | None = None, *, pictures: bool = False) -> list[Judgement]:
        condition, values = ("", []) if query is None else ("WHERE query = ?", [query])
        picture = "query_picture" if pictures else "NULL"
        statement = f"SELECT query, entry, same, {picture} FROM judgements {condition} ORDER BY number"  # noqa: S608
        return self._catalogue.read(
            lambda connection: [_read_judgement(row) for row in connection.execute(statement, values)]
        )

    def _statement(self, text: str) -> str:
        """A statement that reads entries, for all of which a condition holds."""
        added = "NULL" if self._catalogue.version <= UNDATED else "added"
        return f"SELECT {_FIELDS}, {added} FROM entries WHERE {text}"  # noqa: S608 - the values stand elsewhere

    def _read_entries(self, text: str, values: Sequence[Any]) -> list[Entry]:
        statement = self._statement(text)
        return self._catalogue.read(
            lambda connection: [_read_entry(row) for row in connection.execute(statement, values)]
        )

    def _rows(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._catalogue.read(lambda connection: connection.execute(statement, values).fetchall())


_VALUES = """
    WITH names AS (SELECT DISTINCT name FROM labels ORDER BY name LIMIT ?),
    counted AS (
        SELECT name, value, count(*) AS pictures, count(*) OVER (PARTITION BY name) AS values_of_it
        FROM labels JOIN names USING (name) GROUP BY name, value
    )
    SELECT name, value, pictures FROM names LEFT JOIN (SELECT * FROM counted WHERE values_of_it <= ?) USING (name)"""


def _find_word(connection: sqlite3.Connection, query: str, entry: int) -> bool | None:
    """What was said of a query and an entry; None if nothing was."""
    statement = "SELECT same FROM judgements WHERE query = ? AND entry IN (SELECT value FROM json_each(?))"
    row = connection.execute(statement, [query, json_ids([entry])]).fetchone()
    return None if row is None else bool(row[0])


def _count_all(connection: sqlite3.Connection) -> Summary:
    cameras = connection.execute(
        "SELECT camera_id, count(*), min(time), max(time) FROM entries GROUP BY camera_id ORDER BY camera_id"
    ).fetchall()
    vehicles = connection.execute("SELECT count(DISTINCT vehicle_id) FROM entries WHERE vehicle_id != ''").fetchone()[0]
    judgements = connection.execute("SELECT count(*) FROM judgements").fetchone()[0]
    rows = tuple(CameraSummary(_as_text(camera), *row) for camera, *row in cameras)
    for row in rows:
        _check_times(row.first, row.last)
    return Summary(sum(row.pictures for row in rows), vehicles, judgements, rows)


def _find_known(connection: sqlite3.Connection, contents: Sequence[str]) -> dict[str, int]:
    rows = connection.execute(
        "SELECT content, id FROM entries WHERE content IN (SELECT value FROM json_each(?))",
        [json.dumps(list(contents))],
    )
    return dict(rows.fetchall())


def _insert(connection: sqlite3.Connection, new: Sequence[tuple[int, Addition, NDArray[np.float16]]]) -> None:
    now = time.time()
    connection.executemany(
        _INSERT,
        [
            (number, sighting.content, *_column_values(sighting), now if addition.added is None else addition.added)
            for number, addition, _ in new
            for sighting in [addition.sighting]
        ],
    )
    connection.executemany(
        "INSERT INTO embeddings (id, embedding) VALUES (?, ?)",
        [(number, embedding.astype("<f2").tobytes()) for number, _, embedding in new],
    )
    connection.executemany(
        "INSERT INTO thumbnails (id, thumbnail) VALUES (?, ?)",
        [(number, addition.thumbnail) for number, addition, _ in new if addition.thumbnail is not None],
    )
    connection.executemany(
        "INSERT INTO previews (entry, place, picture, seconds) VALUES (?, ?, ?, ?)",
        [
            (number, place, preview.picture, preview.seconds)
            for number, addition, _ in new
            for place, preview in enumerate(addition.previews)
        ],
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
    number, content, *values, added = row
    known = dict(zip(KNOWN, values, strict=True))
    try:
        labels = json.loads(known["labels"])
        texts = (content, *(known[name] for name in ("address", *TEXTS)), *labels.values())
        known_texts = all(isinstance(text, str) for text in texts)
        sighting = Sighting(content, **{**known, "labels": labels})
    except (SamecarError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedCatalogueError(f"what it knows of entry {number} cannot be read") from error
    if not known_texts:
        raise DamagedCatalogueError(f"it knows of entry {number} what is no text")
    if not isinstance(added, float | None):
        raise DamagedCatalogueError(f"it knows of entry {number} no time at which it was added")
    return Entry(number, sighting, added)


def _read_judgement(row: tuple[Any, ...]) -> Judgement:
    query, entry, same, picture = row
    if not isinstance(entry, int) or not isinstance(picture, bytes | None):
        raise DamagedCatalogueError(f"the judgement on entry {entry} cannot be read")
    return Judgement(_as_text(query), entry, bool(same), picture)


def _as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise DamagedCatalogueError(f"{value!r:.50} stands where a text should")
    return value


def _check_times(*times: Any) -> None:
    for seconds in times:
        try:
            known_time_text(seconds)
        except (SamecarError, TypeError) as error:
            raise DamagedCatalogueError(f"{seconds!r:.50} stands where a time should") from error
