"""Moving entries to the servers that they belong on, with their numbers, embeddings, pictures and judgements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, LiteralString, NamedTuple

from pgvector import HalfVector
from psycopg import sql

from samecar.errors import SamecarError
from samecar.progress import Progress, silent
from samecar.retrieval.postgres.connections import Cursor
from samecar.retrieval.postgres.rows import BY_NUMBER, insert_entries, read_entry
from samecar.retrieval.postgres.tables import Tables
from samecar.retrieval.records import Addition, Judgement, Preview
from samecar.retrieval.spread.checking import Ask, is_settled
from samecar.retrieval.spread.coordinator import Coordinator
from samecar.retrieval.spread.layout import Layout
from samecar.retrieval.spread.parts import Part

BATCH: Final = 200
"""Entries that are moved at a time: writers wait that long, and so many may lie on two servers after a power cut."""

STRANGERS: Final[LiteralString] = """
    SELECT id FROM {entries} JOIN {contents} USING (id)
    WHERE id > %(beyond)s AND {strangers} ORDER BY id LIMIT %(limit)s"""

PUT_CONTENTS: Final[LiteralString] = """
    INSERT INTO {contents} (id, content) OVERRIDING SYSTEM VALUE SELECT * FROM unnest(%s::bigint[], %s::text[])"""

PUT_JUDGEMENT: Final[LiteralString] = """
    INSERT INTO {judgements} (query, entry, number, same, query_picture) OVERRIDING SYSTEM VALUE
    VALUES (%s, %s, %s, %s, %s)"""


@dataclass
class Moved:
    """What became of entries that lay on another server than the rule says.

    Attributes:
        entries: number of those that lie where they belong now.
        left: a sentence for each that stays where it is.
    """

    entries: int = 0
    left: list[str] = field(default_factory=list)


class Kept(NamedTuple):
    """All that a server keeps of an entry; judgements with their places in the order of all."""

    id: int
    addition: Addition
    embedding: HalfVector
    judgements: list[tuple[int, Judgement]]


class Mover:
    """Moves entries, a few at a time: first they are kept there, then they are taken away here.

    In between they lie on both servers, under the same numbers, and are found once. Their numbers stand in the layout
    meanwhile, so that a move that was interrupted is ended by the next one.

    Args:
        coordinator: of the gallery.
        find_parts: gives the galleries on all servers of a layout.
        ask: asks several of them at the same time.
        progress: is told how many entries have been moved.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        find_parts: Callable[[Layout], Sequence[Part]],
        ask: Ask,
        progress: Progress = silent,
    ) -> None:
        self._coordinator = coordinator
        self._find_parts = find_parts
        self._ask = ask
        self._progress = progress
        self._moved = Moved()

    def move(self) -> Moved:
        """Moves every entry that lies on another server than the rule says.

        Raises:
            SamecarError: a server fails, or another moves entries too; what was moved stays moved.
        """
        layout = self._coordinator.layout()
        if layout.moving:
            self._settle(layout.moving)
        for part in self._find_parts(layout):
            beyond = 0
            while batch := find_strangers(part, layout, beyond, BATCH):
                self._note(part.number, batch)
                self._settle(batch)
                beyond = batch[-1]
        self._finish()
        return self._moved

    def _note(self, server: int, ids: tuple[int, ...]) -> None:
        """Notes which entries of which server are about to be moved."""

        def change(layout: Layout) -> Layout:
            if layout.leaving != server:
                layout = layout.change(leaving=server)
            return layout.model_copy(update={"moving": ids})

        self._coordinator.change(change)

    def _finish(self) -> None:
        """Notes that all is where it belongs, if that is so.

        By content nobody brings an entry to another server meanwhile. By camera updates may, so nobody writes.
        """
        before = self._coordinator.layout()
        settled = before.by == "content" and is_settled(self._find_parts(before), self._ask, before)

        def change(layout: Layout) -> Layout:
            if layout.by == "content":
                now = settled and layout.version == before.version
            else:
                now = is_settled(self._find_parts(layout), self._ask, layout)
            return layout.change(settled=now, leaving=None, moving=())

        self._coordinator.change(change)

    def _settle(self, ids: tuple[int, ...]) -> None:
        """Leaves each of some entries on the server that it belongs on alone."""

        def work(cursor: Cursor, layout: Layout) -> None:
            if layout.moving != ids:
                raise SamecarError("entries are being moved by another already; wait until that is done")
            parts = {part.number: part for part in self._find_parts(layout)}
            here = self._ask(list(parts.values()), lambda part: read_kept(part, ids))
            copies, homes = self._plan(layout, here)
            for number, kept in copies.items():
                for entry in put_entries(parts[number], kept):
                    del homes[entry.id]
                    self._moved.left.append(
                        f"entry {entry.id} stays where it is: {parts[number]} has the same picture, or this number, "
                        "already; remove one of the two"
                    )
            for number, every in here.items():
                away = [entry for entry in every if homes.get(entry, number) != number]
                self._moved.entries += len(parts[number].engine.take_away(away))
            self._coordinator.keep(cursor, layout.model_copy(update={"moving": ()}))

        self._coordinator.write(work, alone=True)
        self._progress("moving", self._moved.entries, self._moved.entries)

    def _plan(
        self, layout: Layout, here: Mapping[int, Mapping[int, Kept]]
    ) -> tuple[dict[int, list[Kept]], dict[int, int]]:
        """What has to be kept by which server, and the server of each entry; those without one stay."""
        copies: dict[int, list[Kept]] = {}
        homes: dict[int, int] = {}
        for kept in {entry: kept for every in here.values() for entry, kept in every.items()}.values():
            try:
                home = layout.home(kept.addition.sighting)
            except SamecarError as error:
                self._moved.left.append(f"entry {kept.id} stays where it is: {error}")
                continue
            homes[kept.id] = home
            if kept.id not in here[home]:
                copies.setdefault(home, []).append(kept)
        return copies, homes


def find_strangers(part: Part, layout: Layout, beyond: int, limit: int) -> tuple[int, ...]:
    """Numbers of entries on a server that belong on another one, in their order."""
    text, values = layout.strangers(part.number)

    def work(cursor: Cursor, tables: Tables) -> tuple[int, ...]:
        statement = tables.statement(STRANGERS, strangers=sql.SQL(text))
        rows = cursor.execute(statement, {**values, "beyond": beyond, "limit": limit}).fetchall()
        return tuple(number for (number,) in rows)

    return part.engine.read(work, long=True)


def read_kept(part: Part, ids: Sequence[int]) -> dict[int, Kept]:
    """All that a server keeps of entries, by their numbers; those that are not there are left out."""

    def work(cursor: Cursor, tables: Tables) -> dict[int, Kept]:
        def rows(text: LiteralString) -> list[tuple]:  # type: ignore[type-arg]
            return cursor.execute(tables.statement(text), [list(ids)]).fetchall()

        entries = [read_entry(row) for row in rows(BY_NUMBER)]
        embeddings = dict(rows("SELECT id, embedding FROM {entries} WHERE id = ANY(%s)"))
        thumbnails = dict(rows("SELECT id, picture FROM {thumbnails} WHERE id = ANY(%s)"))
        judgements: dict[int, list[tuple[int, Judgement]]] = {entry.id: [] for entry in entries}
        previews: dict[int, list[Preview]] = {entry.id: [] for entry in entries}
        if part.engine.keeps_previews:
            for number, *row in rows("SELECT id, picture, seconds FROM {previews} WHERE id = ANY(%s) ORDER BY place"):
                previews[number].append(Preview(*row))
        text: LiteralString = "SELECT number, query, entry, same, query_picture FROM {judgements} WHERE entry = ANY(%s)"
        for place, *row in rows(text):
            judgement = Judgement(*row)
            judgements[judgement.entry].append((place, judgement))
        kept = {}
        for entry in entries:
            embedding = embeddings[entry.id]
            addition = Addition(
                entry.sighting,
                embedding.to_numpy(),
                thumbnails.get(entry.id),
                tuple(previews[entry.id]),
                entry.added,
            )
            kept[entry.id] = Kept(entry.id, addition, embedding, judgements[entry.id])
        return kept

    return part.engine.read(work)


def put_entries(part: Part, entries: Sequence[Kept]) -> list[Kept]:
    """Keeps entries of another server under their numbers, all at once; gives those whose picture or number it has."""

    def work(cursor: Cursor, tables: Tables) -> list[Kept]:
        contents = {entry.id: entry.addition.sighting.content for entry in entries}
        statement = tables.statement("SELECT id, content FROM {contents} WHERE id = ANY(%s) OR content = ANY(%s)")
        taken = cursor.execute(statement, [list(contents), list(contents.values())]).fetchall()
        numbers, known = {number for number, _ in taken}, {content for _, content in taken}
        refused = [entry for entry in entries if entry.id in numbers or contents[entry.id] in known]
        new = [entry for entry in entries if entry.id not in numbers and contents[entry.id] not in known]
        cursor.execute(
            tables.statement(PUT_CONTENTS), [[entry.id for entry in new], [contents[entry.id] for entry in new]]
        )
        insert_entries(cursor, tables, [(entry.id, entry.addition, entry.embedding) for entry in new])
        cursor.executemany(
            tables.statement(PUT_JUDGEMENT),
            [
                (judgement.query, judgement.entry, place, judgement.same, judgement.query_picture)
                for entry in new
                for place, judgement in entry.judgements
            ],
        )
        return refused

    return part.engine.write(work)
