"""The ordinary galleries on the servers that a gallery is spread over."""

import time
from threading import Lock
from typing import Any, Final

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from samecar.errors import SamecarError
from samecar.retrieval.postgres.connections import Connections, Cursor, UnreachableError
from samecar.retrieval.postgres.engine import PostgresEngine
from samecar.retrieval.postgres.tables import Tables
from samecar.retrieval.records import GalleryFacts
from samecar.retrieval.spread.layout import STRIDE

SECONDS_UNTIL_TRIED_AGAIN: Final = 5
"""After a server let nobody in: until then each call is told so at once."""

SECRETS: Final = ("password", "sslpassword")
"""Parts of an address that are kept nowhere."""

NUMBERING: Final = """
    SELECT increment_by, start_value,
        greatest(last_value, start_value - increment_by, (SELECT max(id) FROM {contents})),
        (SELECT system_identifier FROM pg_control_system()), current_database()
    FROM pg_sequences WHERE schemaname = 'samecar'
    AND sequencename = split_part(pg_get_serial_sequence(%s, 'id'), '.', 2)"""

NUMBER_ANEW: Final = "ALTER TABLE {contents} ALTER COLUMN id SET START WITH {start} SET INCREMENT BY {stride} RESTART"


class Part:
    """The gallery on one server, opened when it is first asked.

    Args:
        number: of the server.
        address: of its database.
        name: of the gallery.
    """

    def __init__(self, number: int, address: str, name: str) -> None:
        self.number = number
        self.server = Connections(address).server
        self.address = address
        self._name = name
        self._lock = Lock()
        self._engine: PostgresEngine | None = None
        self._failed: tuple[float, UnreachableError] | None = None
        self._silence: tuple[float, float] | None = None

    def __str__(self) -> str:
        return f"server {self.number} ({self.server})"

    @property
    def engine(self) -> PostgresEngine:
        """The gallery.

        Raises:
            UnreachableError: the server lets nobody in.
            SamecarError: there is no such gallery.
        """
        with self._lock:
            if self._engine is None:
                if self._failed is not None and time.monotonic() - self._failed[0] < SECONDS_UNTIL_TRIED_AGAIN:
                    raise self._failed[1]
                try:
                    self._engine = PostgresEngine.open(self.address, self._name)
                except UnreachableError as error:
                    self._failed = time.monotonic(), error
                    raise
                if self._silence is not None:
                    self._engine.limit_silence(*self._silence)
            return self._engine

    def limit_silence(self, reading: float, writing: float) -> None:
        """Sets for how many seconds the server may be silent."""
        with self._lock:
            self._silence = reading, writing
            if self._engine is not None:
                self._engine.limit_silence(reading, writing)

    def close(self) -> None:
        """Ends its connections."""
        with self._lock:
            if self._engine is not None:
                self._engine.close()


class Numbering:
    """How a gallery numbers its entries, and what tells it from all others.

    Args:
        engine: that keeps it.

    Attributes:
        gallery: server, database and gallery: the same for two addresses of one gallery.
        server: number of the server that it was made, None if it was not spread yet.
        last: no number is larger that was given to an entry.
    """

    def __init__(self, engine: PostgresEngine) -> None:

        def work(cursor: Cursor, tables: Tables) -> tuple[Any, ...]:
            row = cursor.execute(tables.statement(NUMBERING), [f"samecar.contents_{tables.number}"]).fetchone()
            if row is None:
                raise SamecarError("a gallery has lost the sequence of its numbers; bring it back from a backup")
            return *row, tables.number

        increment, start, self.last, *gallery = engine.read(work)
        self.gallery = tuple(gallery)
        self.server = start % STRIDE if increment == STRIDE else None


def number_entries(engine: PostgresEngine, server: int, beyond: int) -> None:
    """Makes a gallery give its next entries numbers that end in the server's number, and are larger than another."""
    start = (beyond // STRIDE + 1) * STRIDE + server if beyond else server

    def work(cursor: Cursor, tables: Tables) -> None:
        statement = tables.statement(NUMBER_ANEW, start=sql.Literal(start), stride=sql.Literal(STRIDE))
        cursor.execute(statement)

    engine.write(work)


def kept_address(address: str) -> str:
    """An address as the coordinator keeps it, where others may read it.

    Raises:
        SamecarError: it is malformed, or holds a password.
    """
    server = Connections(address).server  # refuses what is malformed
    parts = conninfo_to_dict(address)
    if not parts.keys().isdisjoint(SECRETS):
        raise SamecarError(
            f"the address of {server} holds a password, which a coordinator must not keep; leave it out, and give it "
            "as PGPASSWORD or in ~/.pgpass"
        )
    return make_conninfo(**{name: str(value) for name, value in parts.items()})


def check_facts(facts: GalleryFacts, part: Part) -> None:
    """Raises SamecarError if the gallery on a server is of another model or kind than the whole."""
    own = part.engine.facts
    for name in ("model", "size", "thumbnail", "preview", "description"):
        if getattr(own, name) != getattr(facts, name):
            raise SamecarError(
                f"the gallery on {part} has {name} {getattr(own, name)!r}, and that on the other servers "
                f"{getattr(facts, name)!r}; make one like theirs there, or name another server"
            )
