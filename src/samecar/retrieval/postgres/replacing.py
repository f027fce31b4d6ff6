"""A gallery on a server with other embeddings: entries, numbers, labels, thumbnails and judgements are as before."""

from collections.abc import Mapping
from typing import Final, LiteralString

from samecar.errors import SamecarError
from samecar.retrieval.adding import refuse_additions
from samecar.retrieval.postgres.connections import Cursor
from samecar.retrieval.postgres.engine import ATTACH, PostgresEngine
from samecar.retrieval.postgres.tables import Tables, create_gallery, find_gallery
from samecar.retrieval.records import GalleryFacts

COPIES: Final[tuple[LiteralString, ...]] = (
    """
    INSERT INTO {contents} (id, content) OVERRIDING SYSTEM VALUE
    SELECT id, content FROM {old_contents} WHERE content IN (SELECT content FROM {made_contents}) ORDER BY id""",
    """
    INSERT INTO {entries} (id, {columns}, embedding)
    SELECT id, {columns}, made.embedding
    FROM {contents} JOIN {old_entries} USING (id) JOIN (
        SELECT content, {made_entries}.embedding FROM {made_contents} JOIN {made_entries} USING (id)
    ) AS made USING (content) ORDER BY id""",
    """
    INSERT INTO {thumbnails} (id, picture)
    SELECT id, picture FROM {old_thumbnails} WHERE id IN (SELECT id FROM {contents})""",
    """
    INSERT INTO {judgements} (query, entry, number, same, query_picture) OVERRIDING SYSTEM VALUE
    SELECT query, entry, number, same, query_picture FROM {old_judgements}
    WHERE entry IN (SELECT id FROM {contents})""",
)

GO_ON_COUNTING: Final = """
    SELECT setval(CAST(pg_get_serial_sequence(%(new)s, %(column)s) AS regclass), last)
    FROM pg_sequence_last_value(CAST(pg_get_serial_sequence(%(old)s, %(column)s) AS regclass)) AS last
    WHERE last IS NOT NULL"""

STRIDE: Final = """
    SELECT seqincrement FROM pg_sequence
    WHERE seqrelid = CAST(pg_get_serial_sequence(%s, 'id') AS regclass)"""


def replace_embeddings(
    old: PostgresEngine,
    made: str,
    before: str,
    facts: GalleryFacts,
    files: Mapping[str, bytes],
    missing: int,
) -> None:
    """Gives a gallery the embeddings of another one, by content, in one transaction; the other one is removed.

    The gallery of before keeps all it has, under another name. The index is 'exact' then.

    Args:
        old: the gallery.
        made: name of the other one, in the same database.
        before: the name that the gallery has from then on.
        facts: what the gallery with the other embeddings is, which takes its name.
        files: attached to it, by name.
        missing: how many entries may be left out, with their judgements, as the other gallery lacks them.

    Raises:
        SamecarError: more are lacking, there is a gallery of the name `before`, or the gallery is a part of one that is
            spread over servers.
    """

    def replace(cursor: Cursor, tables: Tables) -> None:
        other, _ = find_gallery(cursor, old.server, made)
        if cursor.execute(STRIDE, [tables.name("contents")]).fetchone() != (1,):
            raise SamecarError(
                f"gallery {old.name!r} is a part of one that is spread over servers, whose parts are all of one model; "
                "make the whole anew with `gallery create` and `gallery add`"
            )
        cursor.execute("DELETE FROM samecar.galleries WHERE number = %s", [other.number])  # nobody adds to it now
        _refuse_additions(cursor, tables, other, missing)
        _rename(cursor, tables, before)
        new = create_gallery(cursor, old.server, old.name, facts)
        places = {**tables.identifiers("old_"), **other.identifiers("made_")}
        for text in COPIES:
            cursor.execute(new.statement(text, **places))
        for name, column in (("contents", "id"), ("judgements", "number")):
            cursor.execute(GO_ON_COUNTING, {"new": new.name(name), "old": tables.name(name), "column": column})
        for name, content in files.items():
            cursor.execute(new.statement(ATTACH), [name, content])
        cursor.execute(new.statement("ANALYZE {entries}"))
        cursor.execute(other.statement("DROP TABLE {entries}, {thumbnails}, {judgements}, {files}, {contents}"))

    old.write(replace, long=True)


def _refuse_additions(cursor: Cursor, tables: Tables, made: Tables, missing: int) -> None:
    text: LiteralString = """
        SELECT count(*) FROM {contents} WHERE NOT EXISTS (
            SELECT FROM {made_contents} WHERE {made_contents}.content = {contents}.content)"""
    row = cursor.execute(tables.statement(text, **made.identifiers("made_"))).fetchone()
    refuse_additions(row[0] if row else 0, missing)


def _rename(cursor: Cursor, tables: Tables, name: str) -> None:
    """Gives a gallery another name.

    Raises:
        SamecarError: there is one of that name.
    """
    if cursor.execute("SELECT FROM samecar.galleries WHERE name = %s", [name]).fetchone() is not None:
        raise SamecarError(
            f"gallery {name!r} is there, from a switch before this one; look with `samecar gallery info` what it is, "
            "and remove it"
        )
    cursor.execute("UPDATE samecar.galleries SET name = %s WHERE number = %s", [name, tables.number])
