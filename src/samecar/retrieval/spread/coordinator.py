"""The database that knows on which servers a gallery lies; it holds no picture itself."""

from collections.abc import Callable
from typing import Final, LiteralString, Self, TypeVar

from psycopg import errors
from psycopg.types.json import Jsonb
from pydantic import ValidationError

from samecar.errors import SamecarError
from samecar.retrieval.postgres.connections import SECONDS_FOR_OTHERS, Connections, Cursor
from samecar.retrieval.postgres.tables import SPREAD_FORMAT, find_spread, prepare_database, register_gallery
from samecar.retrieval.records import GalleryFacts
from samecar.retrieval.spread.layout import Layout

Result = TypeVar("Result")

SPREADS: Final = """
    CREATE TABLE IF NOT EXISTS samecar.spreads (
        number integer PRIMARY KEY REFERENCES samecar.galleries ON DELETE CASCADE,
        layout jsonb NOT NULL
    );
    CREATE SEQUENCE IF NOT EXISTS samecar.places_of_judgements"""

READ_LAYOUT: Final = "SELECT layout FROM samecar.spreads WHERE number = %s"

QUEUE: Final = int.from_bytes(b"same")
"""Writers of one gallery wait in one queue. Its row alone would let those who write together pass others for ever."""

TOGETHER: Final[tuple[LiteralString, LiteralString]] = (
    "SELECT pg_advisory_xact_lock_shared(%s, %s)",
    READ_LAYOUT + " FOR SHARE",
)
"""Others may write at the same time, and nobody changes the layout meanwhile."""

ALONE: Final[tuple[LiteralString, LiteralString]] = (
    "SELECT pg_advisory_xact_lock(%s, %s)",
    READ_LAYOUT + " FOR NO KEY UPDATE",
)
"""Nobody else writes to any of the servers by way of this coordinator. A replica refuses the row, not the queue."""


class Coordinator:
    """The row of a gallery that is spread over servers, in a database of its own or beside other galleries.

    Use `create` or `open`.
    """

    def __init__(self, connections: Connections, name: str, number: int, facts: GalleryFacts) -> None:
        self._connections = connections
        self._number = number
        self._where = f"gallery {name!r} on {connections.server}"
        self.facts = facts

    @classmethod
    def create(cls, address: str, name: str, facts: GalleryFacts, layout: Layout) -> Self:
        """Enters a gallery.

        Raises:
            SamecarError: the server cannot be used, or has a gallery of that name.
        """
        connections = Connections(address)

        def work(cursor: Cursor) -> int:
            prepare_database(cursor, connections.server)
            cursor.execute(SPREADS)
            number = register_gallery(cursor, connections.server, name, facts, SPREAD_FORMAT)
            cursor.execute("INSERT INTO samecar.spreads VALUES (%s, %s)", [number, _as_json(layout)])
            return number

        return cls(connections, name, connections.prepare(work), facts)

    @classmethod
    def open(cls, address: str, name: str) -> Self:
        """Finds a gallery.

        Raises:
            SamecarError: the server cannot be used, or has no such gallery, or one that lies there itself.
        """
        connections = Connections(address)
        number, facts = connections.read(lambda cursor: find_spread(cursor, connections.server, name))
        return cls(connections, name, number, facts)

    def limit_silence(self, reading: float, writing: float) -> None:
        """Sets for how many seconds the server may be silent."""
        self._connections.limit_silence(reading, writing)

    def close(self) -> None:
        """Ends its connections."""
        self._connections.close()

    def layout(self) -> Layout:
        """The layout as it is now.

        Raises:
            SamecarError: the gallery is gone, or damaged.
        """
        return self._connections.read(lambda cursor: self._read_layout(cursor, READ_LAYOUT))

    def write(self, work: Callable[[Cursor, Layout], Result], *, alone: bool = False) -> Result:
        """What `work` does on the servers while nobody changes the layout; `alone`: while nobody else writes.

        Raises:
            SamecarError: others have written for too long, or the gallery is gone.
        """

        def locked(cursor: Cursor) -> Result:
            wait, read = ALONE if alone else TOGETHER
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{SECONDS_FOR_OTHERS}s"])
            try:
                cursor.execute(wait, [QUEUE, self._number])
                layout = self._read_layout(cursor, read)
            except errors.LockNotAvailable as error:
                raise SamecarError(
                    f"{self._where} is being written to by another since more than {SECONDS_FOR_OTHERS} s; nothing was "
                    "changed, do it again when that is done"
                ) from error
            return work(cursor, layout)

        return self._connections.write(locked)

    def change(self, change: Callable[[Layout], Layout]) -> Layout:
        """Changes the layout while nobody else writes; gives what it is then."""

        def work(cursor: Cursor, layout: Layout) -> Layout:
            changed = change(layout)
            self.keep(cursor, changed)
            return changed

        return self.write(work, alone=True)

    def keep(self, cursor: Cursor, layout: Layout) -> None:
        """Keeps a layout, in the transaction of a `write` that is alone."""
        cursor.execute("UPDATE samecar.spreads SET layout = %s WHERE number = %s", [_as_json(layout), self._number])

    def next_place(self) -> int:
        """The place of a judgement that is given now, in the order of those on all servers."""

        def work(cursor: Cursor) -> int:
            row = cursor.execute("SELECT nextval('samecar.places_of_judgements')").fetchone()
            assert row is not None
            return int(row[0])

        return self._connections.write(work)

    def _read_layout(self, cursor: Cursor, text: LiteralString) -> Layout:
        row = cursor.execute(text, [self._number]).fetchone()
        if row is None:
            raise SamecarError(f"{self._where} was removed; spread it anew")
        try:
            return Layout.model_validate(row[0])
        except ValidationError as error:
            raise SamecarError(
                f"{self._where} is damaged, or was spread by a newer samecar; update samecar, or put it back from a "
                "backup"
            ) from error


def _as_json(layout: Layout) -> Jsonb:
    return Jsonb(layout.model_dump(mode="json"))
