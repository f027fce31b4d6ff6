"""The tables of the galleries on a server: one list of all, and for each gallery its own.

Tables of a gallery end in the gallery's number. `contents_1` gives each content its number and is what the others refer
to; `entries_1` holds what is searched and filtered, and nothing refers to it, so that it can be split into partitions.
"""

from dataclasses import dataclass
from typing import Any, Final, LiteralString

from psycopg import errors, sql
from psycopg.types.json import Jsonb
from pydantic import ValidationError

from samecar.errors import SamecarError
from samecar.retrieval.engine import FORMAT
from samecar.retrieval.postgres.connections import Cursor, NoGalleryError
from samecar.retrieval.records import GalleryFacts, IndexSettings

EXACT: Final = "exact"
HNSW: Final = "hnsw"
KINDS: Final = (EXACT, HNSW)

SPREAD_FORMAT: Final = 1001
"""Of galleries that lie on other servers: apart from the formats of those that lie here, which count on from 1."""

LARGEST: Final = {EXACT: 16_000, HNSW: 4_000}
"""Numbers in an embedding that pgvector takes in half precision."""

COLUMNS: Final[dict[str, LiteralString]] = {
    "address": "text NOT NULL",
    "camera_id": "text NOT NULL",
    "time": "double precision",
    "track_id": "text NOT NULL",
    "vehicle_id": "text NOT NULL",
    "labels": "jsonb NOT NULL",
}
"""What is known of an entry beside its number, content and embedding: `KNOWN` of `samecar.retrieval.records`."""

SCHEMA: Final = "samecar"
TABLES: Final = ("contents", "entries", "thumbnails", "judgements", "files")
"""Of each gallery."""

OLDEST_PGVECTOR: Final = (0, 8)
"""First that goes on searching an HNSW index until a filter has let enough pass."""

CREATION_LOCK: Final = int.from_bytes(b"samecar")
"""Held while something is made, as two processes that make the same schema at once would fail."""

GALLERIES: Final = """
    CREATE TABLE IF NOT EXISTS samecar.galleries (
        number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        format integer NOT NULL,
        facts jsonb NOT NULL
    )"""

GALLERY: Final = """
    CREATE TABLE {contents} (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        content text NOT NULL UNIQUE
    );
    CREATE TABLE {entries} (
        id bigint PRIMARY KEY REFERENCES {contents} ON DELETE CASCADE,
        {definitions},
        embedding halfvec({size}) NOT NULL
    ) WITH (toast_tuple_target = 8160);
    CREATE INDEX ON {entries} (camera_id, time);
    CREATE INDEX ON {entries} (vehicle_id) WHERE vehicle_id <> '';
    CREATE TABLE {thumbnails} (
        id bigint PRIMARY KEY REFERENCES {contents} ON DELETE CASCADE,
        picture bytea NOT NULL
    );
    CREATE TABLE {judgements} (
        query text NOT NULL,
        entry bigint NOT NULL REFERENCES {contents} ON DELETE CASCADE,
        number bigint GENERATED ALWAYS AS IDENTITY,
        same boolean NOT NULL,
        query_picture bytea,
        PRIMARY KEY (query, entry)
    );
    CREATE INDEX ON {judgements} (entry);
    CREATE TABLE {files} (
        name text PRIMARY KEY,
        content bytea NOT NULL
    )"""
"""`toast_tuple_target` keeps an embedding in its row up to a whole page (8,160 bytes): kept elsewhere, each would cost
every exact search a look-up of its own."""


@dataclass(frozen=True)
class Tables:
    """Statements on the tables of one gallery."""

    number: int

    def statement(self, text: LiteralString, **values: sql.Composable) -> sql.Composed:
        """A statement with names filled in where it says {entries} for instance, and {columns} of the entries."""
        columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
        return sql.SQL(text).format(**self.identifiers(), columns=columns, **values)

    def identifiers(self, prefix: str = "") -> dict[str, sql.Identifier]:
        """What stands for each table in a statement, under its name with something before it."""
        return {f"{prefix}{name}": sql.Identifier(SCHEMA, f"{name}_{self.number}") for name in TABLES}

    def name(self, table: str) -> str:
        """What PostgreSQL calls a table, for its functions that take names."""
        return f"{SCHEMA}.{table}_{self.number}"

    def create(self, cursor: Cursor, size: int) -> None:
        """Makes them."""
        definitions = sql.SQL(", ").join(
            sql.SQL("{} ").format(sql.Identifier(name)) + sql.SQL(definition) for name, definition in COLUMNS.items()
        )
        text = self.statement(GALLERY, size=sql.Literal(size), definitions=definitions)
        cursor.execute(text, binary=False)  # else a cursor takes one statement at a time

    def rebuild_index(self, cursor: Cursor, kind: str) -> None:
        """Makes the index anew. Others can search during the work and wait only for its end; writers wait."""
        name, new = f"entries_{self.number}_hnsw", f"entries_{self.number}_hnsw_new"
        if kind == HNSW:
            text: LiteralString = "CREATE INDEX {new} ON {entries} USING hnsw (embedding halfvec_ip_ops)"
            cursor.execute(self.statement(text, new=sql.Identifier(new)))
        cursor.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier("samecar", name)))
        if kind == HNSW:
            rename = sql.SQL("ALTER INDEX {} RENAME TO {}")
            cursor.execute(rename.format(sql.Identifier("samecar", new), sql.Identifier(name)))

            cursor.execute(self.statement("ANALYZE {entries}"))

    def write_index_settings(self, cursor: Cursor, settings: IndexSettings) -> None:
        """Keeps how the gallery is searched."""
        cursor.execute(
            "UPDATE samecar.galleries SET facts = jsonb_set(facts, '{index}', %s) WHERE number = %s",
            [Jsonb(settings.model_dump(mode="json")), self.number],
        )

    def check_index(self, cursor: Cursor, kind: str) -> list[str]:
        """A sentence if the index is not of the kind that it should be."""
        valid = cursor.execute(
            """
            SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
            WHERE indrelid = to_regclass(%s) AND relname = %s
            """,
            [f"samecar.entries_{self.number}", f"entries_{self.number}_hnsw"],
        ).fetchall()
        if valid == ([(True,)] if kind == HNSW else []):
            return []
        return [f"the index of samecar.entries_{self.number} is not of kind {kind!r} as it should be; rebuild it"]


def check_kind(kind: str, size: int) -> None:
    """Raises SamecarError if embeddings of that size cannot be searched in that way."""
    if kind not in KINDS:
        raise SamecarError(f"index {kind!r} is unknown to PostgreSQL; choose one of {', '.join(KINDS)}")
    if not 1 <= size <= LARGEST[kind]:
        raise SamecarError(
            f"embeddings of {size:,} numbers cannot be kept by PostgreSQL with the index {kind!r}, which takes 1 to "
            f"{LARGEST[kind]:,}; use a model with smaller embeddings" + (", or 'exact'" if kind == HNSW else "")
        )


def prepare_database(cursor: Cursor, server: str) -> None:
    """Makes the extension, the schema and the list of galleries where they are absent; waits for others who do so."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CREATION_LOCK])
    try:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except errors.InsufficientPrivilege as error:
        raise SamecarError(
            f"{server} has no extension vector yet and does not let this user make it; ask who runs the server to run "
            "CREATE EXTENSION vector in that database"
        ) from error
    except (errors.FeatureNotSupported, errors.UndefinedFile) as error:
        raise SamecarError(
            f"{server} does not offer the extension vector; have pgvector installed on the server"
        ) from error
    _check_extension(cursor, server)
    if cursor.execute("SELECT to_regnamespace('samecar') IS NULL").fetchone() == (True,):
        cursor.execute("CREATE SCHEMA samecar")
    cursor.execute(GALLERIES)


def _check_extension(cursor: Cursor, server: str) -> None:
    row = cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    version = row[0] if row else "0"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_PGVECTOR:
        raise SamecarError(
            f"{server} has pgvector {version}, too old for a gallery; have 0.8 or newer installed, then run "
            "ALTER EXTENSION vector UPDATE in that database"
        )


def create_gallery(cursor: Cursor, server: str, name: str, facts: GalleryFacts) -> Tables:
    """Makes an empty gallery.

    Raises:
        SamecarError: there is one of that name.
    """
    tables = Tables(register_gallery(cursor, server, name, facts, facts.format))
    tables.create(cursor, facts.size)
    tables.rebuild_index(cursor, facts.index.kind)
    return tables


def register_gallery(cursor: Cursor, server: str, name: str, facts: GalleryFacts, gallery_format: int) -> int:
    """Enters a gallery in the list of all; gives its number.

    Raises:
        SamecarError: there is one of that name.
    """
    row = cursor.execute(
        """
        INSERT INTO samecar.galleries (name, format, facts) VALUES (%s, %s, %s)
        ON CONFLICT (name) DO NOTHING RETURNING number
        """,
        [name, gallery_format, Jsonb(facts.model_dump(mode="json"))],
    ).fetchone()
    if row is None:
        raise SamecarError(f"gallery {name!r} exists already on {server}; choose another name")
    return int(row[0])


class SpreadGalleryError(SamecarError):
    """A gallery lies on other servers than the one that was asked."""


def find_gallery(cursor: Cursor, server: str, name: str) -> tuple[Tables, GalleryFacts]:
    """Tables and facts of a gallery.

    Raises:
        SpreadGalleryError: it lies on other servers.
        SamecarError: there is none of that name, or it is of a newer format.
    """
    number, gallery_format, facts = _find_row(cursor, server, name)
    if gallery_format == SPREAD_FORMAT:
        raise SpreadGalleryError(f"gallery {name!r} on {server} is spread over other servers; name another gallery")
    if gallery_format > FORMAT:
        raise SamecarError(
            f"gallery {name!r} on {server} is of format {gallery_format}, this samecar reads up to {FORMAT}; update "
            "samecar"
        )
    return Tables(number), _read_facts(facts, server, name)


def find_spread(cursor: Cursor, server: str, name: str) -> tuple[int, GalleryFacts]:
    """Number and facts of a gallery that is spread over other servers.

    Raises:
        SamecarError: there is none of that name, or it is no such gallery.
    """
    number, gallery_format, facts = _find_row(cursor, server, name)
    if gallery_format != SPREAD_FORMAT:
        raise SamecarError(
            f"gallery {name!r} on {server} lies there itself, and is not spread over servers; spread it with another "
            "database as --engine, and this one as an --over"
        )
    return number, _read_facts(facts, server, name)


def _find_row(cursor: Cursor, server: str, name: str) -> tuple[int, int, Any]:
    try:
        row = cursor.execute("SELECT number, format, facts FROM samecar.galleries WHERE name = %s", [name]).fetchone()
    except errors.UndefinedTable as error:
        raise NoGalleryError(f"{server} holds no gallery; make one first, or name another database") from error
    if row is None:
        names = [repr(other) for (other,) in cursor.execute("SELECT name FROM samecar.galleries ORDER BY name")]
        raise NoGalleryError(f"{server} holds no gallery {name!r}; it holds {', '.join(names) or 'none'}")
    return row[0], row[1], row[2]


def _read_facts(facts: Any, server: str, name: str) -> GalleryFacts:
    try:
        return GalleryFacts.model_validate(facts)
    except ValidationError as error:
        raise SamecarError(f"gallery {name!r} on {server} is damaged; put it back from a backup") from error
