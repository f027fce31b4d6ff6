"""What people have said of pairs, in a gallery's tables."""

from collections.abc import Sequence
from typing import LiteralString

from samecar.errors import SamecarError
from samecar.retrieval.engine import refuse_contrary
from samecar.retrieval.postgres.connections import Cursor
from samecar.retrieval.postgres.searching import keep_possible_ids
from samecar.retrieval.postgres.tables import Tables
from samecar.retrieval.records import Judgement

KEEP: LiteralString = """
    INSERT INTO {judgements} (query, entry, same, query_picture)
    SELECT %s, id, %s, %s FROM {contents} WHERE id = ANY(%s)
    ON CONFLICT (query, entry) DO UPDATE
    SET number = DEFAULT, same = excluded.same, query_picture = excluded.query_picture"""

NEXT_PLACE: LiteralString = """
    SELECT setval(sequence, greatest(%(place)s, coalesce(pg_sequence_last_value(sequence) + 1, 1)), false)
    FROM CAST(pg_get_serial_sequence(%(table)s, 'number') AS regclass) AS sequence"""


def keep_judgement(cursor: Cursor, tables: Tables, judgement: Judgement, place: int, *, replaces: bool) -> bool | None:
    """Keeps a judgement as `Engine.judge` does, in this place at least in the order of all.

    Args:
        cursor: of a transaction that writes.
        tables: of the gallery.
        judgement: is kept in place of what was said of the same pair.
        place: in the order; 0 lets the server choose.
        replaces: whether a contrary one may be replaced.

    Returns:
        What was said before; None if nothing was.

    Raises:
        SamecarError: the contrary was said and may not be replaced, or no such entry is there.
    """
    said = _find_word(cursor, tables, judgement.query, judgement.entry)
    refuse_contrary(judgement.entry, said, None if replaces else judgement.same)
    if place:
        cursor.execute(NEXT_PLACE, {"table": tables.name("judgements"), "place": place})
    values = [judgement.query, judgement.same, judgement.query_picture, keep_possible_ids([judgement.entry])]
    if not cursor.execute(tables.statement(KEEP), values).rowcount:
        raise SamecarError(f"the gallery has no entry {judgement.entry} to judge; list its entries")
    return said


def withdraw_judgement(cursor: Cursor, tables: Tables, query: str, entry: int, same: bool | None) -> bool:
    """Removes a judgement as `Engine.withdraw` does; whether there was one.

    Raises:
        SamecarError: the contrary of `same` was said.
    """
    refuse_contrary(entry, _find_word(cursor, tables, query, entry), same)
    statement = tables.statement("DELETE FROM {judgements} WHERE query = %s AND entry = ANY(%s)")
    return cursor.execute(statement, [query, keep_possible_ids([entry])]).rowcount > 0


def forget_queries(cursor: Cursor, tables: Tables, contents: Sequence[str]) -> None:
    """Removes judgements in which a picture of these contents was the query."""
    cursor.execute(tables.statement("DELETE FROM {judgements} WHERE query = ANY(%s)"), [list(contents)])


def list_judgements(
    cursor: Cursor, tables: Tables, query: str | None, *, pictures: bool
) -> list[tuple[int, Judgement]]:
    """Judgements of a query or of all, with their places in the order of all; query pictures if they are wanted."""
    text: LiteralString = """
        SELECT number, query, entry, same, CASE WHEN %(pictures)s THEN query_picture END FROM {judgements}
        WHERE %(query)s::text IS NULL OR query = %(query)s ORDER BY number"""
    rows = cursor.execute(tables.statement(text), {"query": query, "pictures": pictures})
    return [(place, Judgement(*row)) for place, *row in rows.fetchall()]


def _find_word(cursor: Cursor, tables: Tables, query: str, entry: int) -> bool | None:
    """What was said of a query and an entry; None if nothing was."""
    statement = tables.statement("SELECT same FROM {judgements} WHERE query = %s AND entry = ANY(%s)")
    row = cursor.execute(statement, [query, keep_possible_ids([entry])]).fetchone()
    return None if row is None else row[0]
