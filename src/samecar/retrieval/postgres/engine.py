"""The engine that keeps galleries on a PostgreSQL server: any number of services read and write at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, LiteralString, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg import errors, sql

from samecar.errors import SamecarError
from samecar.progress import Progress, silent
from samecar.retrieval.engine import NO_FILES, Engine
from samecar.retrieval.postgres.checking import find_broken_rows
from samecar.retrieval.postgres.connections import SECONDS_FOR_OTHERS, Connections, Cursor
from samecar.retrieval.postgres.judging import (
    forget_queries,
    keep_judgement,
    list_judgements,
    withdraw_judgement,
)
from samecar.retrieval.postgres.recall import MEASURED_ON, Sample, draw_sample, measure_recall, search_in_one_way
from samecar.retrieval.postgres.rows import (
    BY_NUMBER,
    ENTRY,
    column_values,
    insert_entries,
    read_entry,
    stack_embeddings,
)
from samecar.retrieval.postgres.searching import (
    LARGEST_ID,
    condition,
    keep_possible_ids,
    search_by_index,
    search_every_entry,
)
from samecar.retrieval.postgres.tables import (
    COLUMNS,
    HNSW,
    Tables,
    check_kind,
    create_gallery,
    find_gallery,
    prepare_database,
)
from samecar.retrieval.records import (
    EVERYTHING,
    LISTED_VALUES,
    Addition,
    CameraSummary,
    Entry,
    Filter,
    GalleryFacts,
    IndexSettings,
    Judgement,
    LabelValue,
    Match,
    Preview,
    Sighting,
    Summary,
    group_values,
    prepare_embeddings,
    prepare_queries,
)

Result = TypeVar("Result")

SET_LABELS: Final = """
    UPDATE {entries} AS told SET labels = CASE
        WHEN new.value = '' THEN told.labels - %(name)s::text
        ELSE told.labels || jsonb_build_object(%(name)s::text, new.value) END
    FROM unnest(%(ids)s::bigint[], %(values)s::text[]) AS new (id, value) WHERE told.id = new.id"""

ATTACH: Final = """
    INSERT INTO {files} (name, content) VALUES (%s, %s)
    ON CONFLICT (name) DO UPDATE SET content = excluded.content"""


class PostgresEngine(Engine):
    """A gallery in a PostgreSQL database.

    Use `create` or `open`. Writers of one gallery wait for each other, so that entries become visible in the order of
    their numbers; readers wait for nobody, also while the index is made anew. Embeddings are in half precision, queries
    in single. What the methods do is said in `Engine`.

    Attributes:
        keeps_previews: whether the gallery does.
    """

    def __init__(self, connections: Connections, name: str, tables: Tables, facts: GalleryFacts) -> None:
        self._connections = connections
        self._name = name
        self._tables = tables
        self._size = facts.size
        self.keeps_previews = facts.preview > 0

    @classmethod
    def create(cls, address: str, name: str, facts: GalleryFacts, files: Mapping[str, bytes] = NO_FILES) -> Self:
        """Makes an empty gallery, all of it or nothing, and what the database needs for the first one.

        Args:
            address: as libpq takes it: postgresql://USER:PASSWORD@HOST:PORT/DATABASE.
            name: of the gallery, any text.
            facts: what it is going to be; `facts.index.kind` is 'exact' or 'hnsw'.
            files: attached to it from the beginning, by name.

        Raises:
            SamecarError: the server cannot be used, lacks pgvector or the right to use it, or has such a gallery.
        """
        check_kind(facts.index.kind, facts.size)
        if not name.strip():
            raise SamecarError("the name of a gallery is empty; give it one")
        connections = Connections(address)

        def work(cursor: Cursor) -> Tables:
            prepare_database(cursor, connections.server)
            tables = create_gallery(cursor, connections.server, name, facts)
            for attached, content in files.items():
                cursor.execute(tables.statement(ATTACH), [attached, content])
            return tables

        return cls(connections, name, connections.prepare(work), facts)

    @classmethod
    def open(cls, address: str, name: str) -> Self:
        """Opens a gallery; nothing is written, so that the server may be a replica.

        Raises:
            SamecarError: the server cannot be used, or has no such gallery, or one of a newer format.
        """
        connections = Connections(address)

        def work(cursor: Cursor) -> tuple[Tables, GalleryFacts]:
            tables, facts = find_gallery(cursor, connections.server, name)
            return tables.look_for_dates(cursor), facts

        tables, facts = connections.read(work)
        return cls(connections, name, tables, facts)

    @property
    def name(self) -> str:
        """Of the gallery."""
        return self._name

    @property
    def server(self) -> str:
        """What it is called in sentences."""
        return self._connections.server

    def limit_silence(self, reading: float, writing: float) -> None:
        self._connections.limit_silence(reading, writing)

    def close(self) -> None:
        self._connections.close()

    @property
    def facts(self) -> GalleryFacts:
        """What the gallery is at this moment; its index may have been made anew by another service."""
        return self._connections.read(self._read_facts)

    def _read_facts(self, cursor: Cursor) -> GalleryFacts:
        tables, facts = find_gallery(cursor, self._connections.server, self._name)
        if tables != self._tables:
            raise SamecarError(f"gallery {self._name!r} on {self._connections.server} was replaced; open it again")
        return facts

    def _write(self, work: Callable[[Cursor], Result], *, long: bool = False) -> Result:
        """Writes while no other writer of this gallery does; `long` if it may take its time.

        Raises:
            SamecarError: others have written for too long, or the gallery was removed.
        """

        def alone(cursor: Cursor) -> Result:
            where = f"gallery {self._name!r} on {self._connections.server}"
            statement = "SELECT number FROM samecar.galleries WHERE number = %s FOR NO KEY UPDATE"
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{SECONDS_FOR_OTHERS}s"])
            try:
                row = cursor.execute(statement, [self._tables.number]).fetchone()
            except errors.LockNotAvailable as error:
                raise SamecarError(
                    f"{where} is being written to by another, or its index is being made, since more than "
                    f"{SECONDS_FOR_OTHERS} s; nothing was changed, do it again when that is done"
                ) from error
            if row is None:
                raise SamecarError(f"{where} was removed; make it anew")
            cursor.execute("SET LOCAL lock_timeout TO DEFAULT")  # an index that took hours is not given up for a search
            return work(cursor)

        return self._connections.write(alone, long=long)

    def read(self, work: Callable[[Cursor, Tables], Result], *, long: bool = False) -> Result:
        """What `work` gives on the tables in a transaction that only reads; `long` if it may take its time."""
        return self._connections.read(lambda cursor: work(cursor, self._tables), long=long)

    def write(self, work: Callable[[Cursor, Tables], Result], *, long: bool = False) -> Result:
        """The same in a transaction that is kept whole or not at all, while no other writer of this gallery writes."""
        return self._write(lambda cursor: work(cursor, self._tables), long=long)

    def _rows(self, text: LiteralString, values: Any = None) -> list[tuple[Any, ...]]:
        return self._connections.read(lambda cursor: cursor.execute(self._tables.statement(text), values).fetchall())

    # --- files ---

    def attach(self, name: str, content: bytes) -> None:
        self._write(lambda cursor: cursor.execute(self._tables.statement(ATTACH), [name, content]))

    def attached(self, name: str) -> bytes | None:
        rows = self._rows("SELECT content FROM {files} WHERE name = %s", [name])
        return rows[0][0] if rows else None

    # --- entries ---

    def add(self, additions: Sequence[Addition]) -> list[int]:
        matrix = prepare_embeddings(additions, self._size)
        offered: dict[str, tuple[Addition, NDArray[np.float16]]] = {}
        for addition, embedding in zip(additions, matrix, strict=True):
            offered.setdefault(addition.sighting.content, (addition, embedding))

        def work(cursor: Cursor) -> dict[str, int]:
            numbers = self._find_known(cursor, list(offered))
            new = [content for content in offered if content not in numbers]
            numbers.update(self._number_contents(cursor, new))
            insert_entries(cursor, self._tables, [(numbers[content], *offered[content]) for content in new])
            return numbers

        numbers = self._write(work)
        return [numbers[addition.sighting.content] for addition in additions]

    def _find_known(self, cursor: Cursor, contents: Sequence[str]) -> dict[str, int]:
        statement = self._tables.statement("SELECT content, id FROM {contents} WHERE content = ANY(%s)")
        return dict(cursor.execute(statement, [list(contents)]).fetchall())

    def _number_contents(self, cursor: Cursor, contents: Sequence[str]) -> dict[str, int]:
        """Gives new contents numbers, in their order."""
        text: LiteralString = """
            INSERT INTO {contents} (content)
            SELECT content FROM unnest(%s::text[]) WITH ORDINALITY AS new (content, place) ORDER BY place
            RETURNING content, id"""
        return dict(cursor.execute(self._tables.statement(text), [list(contents)]).fetchall())

    def remove(self, ids: Sequence[int]) -> int:
        def work(cursor: Cursor) -> int:
            taken = self._take_away(cursor, ids)
            forget_queries(cursor, self._tables, list(taken.values()))
            return len(taken)

        return self._write(work)

    def take_away(self, ids: Sequence[int]) -> dict[int, str]:
        """Removes entries but no judgements in which they are the query; gives contents of those that were there."""
        return self._write(lambda cursor: self._take_away(cursor, ids))

    def _take_away(self, cursor: Cursor, ids: Sequence[int]) -> dict[int, str]:
        statement = self._tables.statement("DELETE FROM {contents} WHERE id = ANY(%s) RETURNING id, content")
        return dict(cursor.execute(statement, [keep_possible_ids(ids)]).fetchall())

    def forget_queries(self, contents: Sequence[str]) -> None:
        """Removes judgements in which a picture of these contents was the query."""
        if contents:
            self._write(lambda cursor: forget_queries(cursor, self._tables, contents))

    def update(self, id: int, change: Callable[[Sighting], Sighting]) -> Sighting | None:  # noqa: A002

        def work(cursor: Cursor) -> Sighting | None:
            row = cursor.execute(self._tables.statement(BY_NUMBER), [keep_possible_ids([id])]).fetchone()
            if row is None:
                return None
            before = read_entry(row).sighting
            sighting = change(before)
            if sighting.content != before.content:
                raise SamecarError(f"entry {id} shows another picture; remove it and add the new one instead")
            text: LiteralString = "UPDATE {entries} SET ({columns}) = ({values}) WHERE id = %s"
            values = sql.SQL(", ").join([sql.Placeholder()] * len(COLUMNS))
            cursor.execute(self._tables.statement(text, values=values), [*column_values(sighting), id])
            return sighting

        return self._write(work)

    def set_labels(self, name: str, values: Mapping[int, str]) -> None:
        ids = keep_possible_ids(list(values))
        given = {"name": name, "ids": ids, "values": [values[number] for number in ids]}
        self._write(lambda cursor: cursor.execute(self._tables.statement(SET_LABELS), given))

    def known(self, contents: Sequence[str]) -> dict[str, int]:
        return self._connections.read(lambda cursor: self._find_known(cursor, contents))

    def entries(self, ids: Sequence[int]) -> dict[int, Entry]:
        return {row[0]: read_entry(row) for row in self._rows(BY_NUMBER, [keep_possible_ids(ids)])}

    def listed(self, allowed: Filter = EVERYTHING, *, beyond: int = 0, limit: int = 1000) -> list[Entry]:
        text, values = condition(allowed)
        page = {"beyond": min(beyond, LARGEST_ID), "limit": min(limit, LARGEST_ID)}
        text = ENTRY + "WHERE id > %(beyond)s " + text + " ORDER BY id LIMIT %(limit)s"
        return [read_entry(row) for row in self._rows(text, {**values, **page})]

    def embeddings(self, ids: Sequence[int]) -> NDArray[np.float32]:
        return stack_embeddings(ids, self.stored_embeddings(ids), self._size)

    def stored_embeddings(self, ids: Sequence[int]) -> dict[int, HalfVector]:
        """Embeddings by number; those that are not there are left out."""
        return dict(self._rows("SELECT id, embedding FROM {entries} WHERE id = ANY(%s)", [keep_possible_ids(ids)]))

    def thumbnail(self, id: int) -> bytes | None:  # noqa: A002
        rows = self._rows("SELECT picture FROM {thumbnails} WHERE id = ANY(%s)", [keep_possible_ids([id])])
        return rows[0][0] if rows else None

    def previews(self, id: int) -> list[Preview]:  # noqa: A002
        if not self.keeps_previews:
            return []
        text: LiteralString = "SELECT picture, seconds FROM {previews} WHERE id = ANY(%s) ORDER BY place"
        return [Preview(*row) for row in self._rows(text, [keep_possible_ids([id])])]

    def search(self, queries: NDArray[np.float32], top: int, allowed: Filter = EVERYTHING) -> list[list[Match]]:
        queries = prepare_queries(queries, self._size, top)

        def work(cursor: Cursor) -> list[list[Match]]:
            by_index = self._read_facts(cursor).index.kind == HNSW
            search = search_by_index if by_index else search_every_entry
            return search(cursor, self._tables, queries, min(top, LARGEST_ID), allowed)

        return self._connections.read(work)

    # --- judgements ---

    def judge(self, judgement: Judgement, *, replaces: bool = True) -> bool | None:
        return self.judge_after(judgement, 0, replaces=replaces)

    def judge_after(self, judgement: Judgement, place: int, *, replaces: bool = True) -> bool | None:
        """Keeps a judgement as `judge` does, in this place at least in the order of all; 0 lets the server choose."""
        return self._write(lambda cursor: keep_judgement(cursor, self._tables, judgement, place, replaces=replaces))

    def withdraw(self, query: str, entry: int, same: bool | None = None) -> bool:
        return self._write(lambda cursor: withdraw_judgement(cursor, self._tables, query, entry, same))

    def judgements(self, query: str | None = None, *, pictures: bool = False) -> list[Judgement]:
        return [judgement for _, judgement in self.placed_judgements(query, pictures=pictures)]

    def placed_judgements(self, query: str | None = None, *, pictures: bool = False) -> list[tuple[int, Judgement]]:
        """The same with their places in the order of all."""
        return self._connections.read(lambda cursor: list_judgements(cursor, self._tables, query, pictures=pictures))

    # --- the whole ---

    def label_values(self) -> dict[str, list[LabelValue]]:
        text: LiteralString = """
            WITH counted AS (
                SELECT key AS name, value, count(*) AS pictures, count(*) OVER (PARTITION BY key) AS values_of_it
                FROM {entries}, jsonb_each_text(labels) GROUP BY key, value
            ), names AS (SELECT name FROM counted GROUP BY name ORDER BY name COLLATE "C" LIMIT %(most)s)
            SELECT name, value, pictures FROM names
            LEFT JOIN (SELECT * FROM counted WHERE values_of_it <= %(most)s) AS listed USING (name)"""
        return group_values(self._rows(text, {"most": LISTED_VALUES}))

    def summary(self) -> Summary:

        def work(cursor: Cursor) -> Summary:
            def rows(text: LiteralString) -> list[tuple[Any, ...]]:
                return cursor.execute(self._tables.statement(text)).fetchall()

            cameras = rows("SELECT camera_id, count(*), min(time), max(time) FROM {entries} GROUP BY camera_id")
            vehicles = rows("SELECT count(DISTINCT vehicle_id) FROM {entries} WHERE vehicle_id <> ''")[0][0]
            judgements = rows("SELECT count(*) FROM {judgements}")[0][0]
            ordered = tuple(sorted(CameraSummary(*row) for row in cameras))
            return Summary(sum(camera.pictures for camera in ordered), vehicles, judgements, ordered)

        return self._connections.read(work)

    def vehicles(self) -> set[str]:
        """Names of the vehicles that are known."""
        rows = self._rows("SELECT DISTINCT vehicle_id FROM {entries} WHERE vehicle_id <> ''")
        return {name for (name,) in rows}

    def check(self, progress: Progress = silent) -> list[str]:

        def work(cursor: Cursor) -> list[str]:
            problems = self._tables.check_index(cursor, self._read_facts(cursor).index.kind)
            broken = find_broken_rows(cursor, self._tables, progress, previews=self.keeps_previews)
            return [*problems, *(f"gallery {self._name!r}: {rows}; put it back from a backup" for rows in broken)]

        return self._connections.read(work)

    def keep_dates(self) -> None:
        if not self._tables.dated:
            self._tables = self._write(self._tables.keep_dates)

    def compact(self, *, full: bool = False, progress: Progress = silent) -> list[str]:
        text: LiteralString = "VACUUM (FULL) {{{}}}" if full else "VACUUM {{{}}}"
        names: list[LiteralString] = ["contents", "entries", "thumbnails", "judgements"]
        if self.keeps_previews:
            names.append("previews")
        for done, name in enumerate(names):
            progress("compacting", done, len(names))
            self._connections.execute_alone(self._tables.statement(text.format(name)))
        progress("compacting", len(names), len(names))
        server = self._connections.server
        if full:
            return [f"{server} keeps its log of changes, with what was removed, as long as it is set to"]
        until = "until its room is used again or the gallery is compacted in full"
        return [f"the files of {server} hold what was removed {until}, its log of changes as long as it is set to"]

    def rebuild(self, kind: str, progress: Progress = silent) -> IndexSettings:
        progress("index", 0, 1)
        settings = self.replace_index(kind)
        progress("index", 1, 1)
        if kind == HNSW:
            sample = self.draw_sample(MEASURED_ON)
            recall = measure_recall(sample, self.search_in_one_way, progress)
            settings = self.note_recall(settings, recall, sample)
        return settings

    def replace_index(self, kind: str) -> IndexSettings:
        """Makes the index anew as `rebuild` does, and measures nothing."""
        check_kind(kind, self._size)

        def work(cursor: Cursor) -> IndexSettings:
            self._tables.rebuild_index(cursor, kind)
            pictures = 0
            if kind == HNSW:
                row = cursor.execute(self._tables.statement("SELECT count(*) FROM {entries}")).fetchone()
                pictures = row[0] if row else 0
            made = IndexSettings(kind=kind, pictures=pictures)
            self._tables.write_index_settings(cursor, made)
            return made

        return self._write(work, long=True)

    def draw_sample(self, count: int) -> Sample:
        """So many of the stored embeddings, by chance."""
        return self._connections.read(lambda cursor: draw_sample(cursor, self._tables, count), long=True)

    def search_in_one_way(self, queries: NDArray[np.float32], top: int, *, by_index: bool) -> list[list[Match]]:
        """Searches by the HNSW index alone, or without it; (queries, size)."""
        return self._connections.read(
            lambda cursor: search_in_one_way(cursor, self._tables, queries, top, by_index=by_index), long=True
        )

    def note_recall(self, made: IndexSettings, recall: float | None, sample: Sample) -> IndexSettings:
        """Keeps an index's recall on a sample, unless it was replaced by one of another kind meanwhile."""
        measured_on = 0 if recall is None else len(sample)
        settings = made.model_copy(update={"recall": recall, "measured_on": measured_on})

        def work(cursor: Cursor) -> None:
            if self._read_facts(cursor).index.kind == settings.kind:
                self._tables.write_index_settings(cursor, settings)

        self._write(work)
        return settings
