"""What is looked for in a gallery's tables that must not be there."""

from typing import Final, LiteralString

from samecar.progress import Progress
from samecar.retrieval.postgres.connections import Cursor
from samecar.retrieval.postgres.tables import Tables

CHECKS: Final[tuple[tuple[LiteralString, str], ...]] = (
    (
        "SELECT count(*) FROM {contents} LEFT JOIN {entries} USING (id) WHERE {entries}.id IS NULL",
        "numbers have lost their entries",
    ),
    (
        "SELECT count(*) FROM {entries} LEFT JOIN {contents} USING (id) WHERE {contents}.id IS NULL",
        "entries have lost their contents",
    ),
    (
        "SELECT count(*) FROM {entries} WHERE abs(l2_norm(embedding) - 1) > 0.002",
        "embeddings are not of length one",
    ),
    (
        "SELECT count(*) FROM {contents} WHERE content !~ '^[0-9a-f]{{64}}$'",
        "contents are no SHA-256",
    ),
    (
        "SELECT count(*) FROM {entries} WHERE time < -62135596800 OR time >= 253402300800",
        "times lie in no year from 1 to 9999",
    ),
    (
        """SELECT count(*) FROM {entries} WHERE jsonb_typeof(labels) <> 'object'
        OR jsonb_path_exists(labels, 'lax $.* ? (@.type() <> "string")')""",
        "entries have labels that are no texts",
    ),
    (
        "SELECT count(*) FROM {thumbnails} WHERE substr(picture, 1, 3) <> '\\xffd8ff'",
        "thumbnails are no JPEG",
    ),
)
"""What must not be: how many there are, and what is said of them. Lengths that `samecar.retrieval.records` lets pass
are at most 0.001 from 1, and half precision takes them at most 0.0005 further. Times are seconds since 1970; PostgreSQL
sorts what is not a number behind all others."""

PREVIEW_CHECK: Final[tuple[LiteralString, str]] = (
    "SELECT count(*) FROM {previews} WHERE substr(picture, 1, 3) <> '\\xffd8ff'",
    "previews are no JPEG",
)


def find_broken_rows(cursor: Cursor, tables: Tables, progress: Progress, *, previews: bool) -> list[str]:
    """A sentence for each kind of row that must not be: how many there are, and what is wrong with them.

    Args:
        cursor: of a transaction.
        tables: of the gallery.
        progress: is told how many kinds were looked for.
        previews: whether the gallery keeps them.
    """
    checks = (*CHECKS, PREVIEW_CHECK) if previews else CHECKS
    found = []
    for done, (text, sentence) in enumerate(checks):
        progress("check", done, len(checks))
        row = cursor.execute(tables.statement(text)).fetchone()
        if row and row[0]:
            found.append(f"{row[0]} {sentence}")
    progress("check", len(checks), len(checks))
    return found
