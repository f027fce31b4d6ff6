"""Connections to a PostgreSQL server, and in one sentence what goes wrong with them."""

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any, Final, LiteralString, TypeVar

import psycopg
from pgvector.psycopg import register_vector
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict

from samecar.errors import SamecarError

Cursor = psycopg.Cursor[Any]
Result = TypeVar("Result")

SECONDS_TO_CONNECT: Final = 10
"""Where the address gives no `connect_timeout`; long enough for a busy server, short enough for somebody who waits."""

SECONDS_TO_ANSWER: Final = 60
"""How long a server may be silent while it is asked, but for what may take hours, such as making an index."""

KEEPALIVE: Final[dict[str, int]] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""Seconds, and milliseconds, after which a host that is not there any more counts as lost, also in the longest work."""

SECONDS_FOR_OTHERS: Final = 30
"""How long a writer waits for others of the same gallery: a few batches of theirs, but not the making of an index."""

READ_LONG: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
"""One state of the gallery for all statements of a call, which may take their time; also allowed on a replica."""

READ: Final = f"""
{READ_LONG};
SELECT set_config('statement_timeout', '{SECONDS_TO_ANSWER}s', true) WHERE current_setting('statement_timeout') = '0'
"""
"""The same, but the server does not work on for somebody who has given up, unless its own settings say otherwise."""

WRITE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""Each statement sees what others committed before it, so that waiting for them makes sense."""


class NoGalleryError(SamecarError):
    """A server has no gallery of a name."""


class UnreachableError(SamecarError):
    """A server lets nobody in, or a connection to it is lost; what it holds may be there again later."""


def _any_time() -> float:
    return math.inf


class Connection(psycopg.Connection[Any]):
    """A connection that does not wait for ever.

    Attributes:
        patience: tells for how many seconds the server may be silent; this may change while it is waited for.
    """

    @staticmethod
    def patience() -> float:
        """As long as all may take."""
        return SECONDS_TO_ANSWER

    def wait(self, gen: Generator[Any, Any, Result], *args: Any, **kwargs: Any) -> Result:
        """Waits for an answer, as psycopg does."""
        return super().wait(_limit(gen, self.patience), *args, **kwargs)


class SilentServerError(psycopg.OperationalError):
    """A server has said nothing for too long."""


def _limit(answer: Generator[Any, Any, Result], patience: Callable[[], float]) -> Generator[Any, Any, Result]:
    """The same steps of waiting, until nothing has come for so long."""
    heard = time.monotonic()
    try:
        wanted = next(answer)
        while True:
            ready = yield wanted
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > (seconds := patience()):
                raise SilentServerError(f"it has not answered for {seconds:g} s")
            wanted = answer.send(ready)
    except StopIteration as finished:
        result: Result = finished.value
        return result


class Connections:
    """As many connections as there are calls at once; idle ones wait for the next call.

    A connection on which anything failed is closed. One that the server ended while it was idle is replaced when it is
    next used; one that is lost while reading is replaced and the reading done again, once.

    Args:
        address: as libpq takes it: postgresql://USER:PASSWORD@HOST:PORT/DATABASE.

    Raises:
        SamecarError: the address is malformed.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._parts = _parse_address(address)
        self._idle: deque[Connection] = deque()
        self._closed = False
        self._reading: float | None = None
        self._writing: float | None = None

    @property
    def server(self) -> str:
        """The address without its password."""
        user, hosts, ports, database = (str(self._parts.get(key) or "") for key in ("user", "host", "port", "dbname"))
        pairs = zip_longest(hosts.split(","), ports.split(","), fillvalue="")
        places = ",".join(f"{host}:{port}" if port else host for host, port in pairs)
        return f"postgresql://{user and user + '@'}{places}/{database}"

    def limit_silence(self, reading: float, writing: float) -> None:
        """Sets for how many seconds the server may be silent, also while it is waited for now."""
        self._reading, self._writing = reading, writing

    def read(self, work: Callable[[Cursor], Result], *, long: bool = False) -> Result:
        """What `work` gives in a transaction that only reads; `long` if its statements may take their time."""
        begin, patience = (READ_LONG, _any_time) if long else (READ, self._patience_to_read)
        with self._translate_errors():
            try:
                return self._run(begin, work, patience)
            except psycopg.OperationalError as error:
                if not _is_lost(error) or isinstance(error, SilentServerError):
                    raise
                return self._run(begin, work, patience)

    def write(self, work: Callable[[Cursor], Result], *, long: bool = False) -> Result:
        """What `work` gives in a transaction that is kept whole or not at all; `long` as in `read`."""
        with self._translate_errors():
            return self._run(WRITE, work, _any_time if long else self._patience_to_write)

    def execute_alone(self, statement: sql.Composed) -> None:
        """Executes a statement that no transaction may hold, for as long as it takes."""
        with self._translate_errors(), self._connect() as connection:
            connection.patience = _any_time  # type: ignore[method-assign]
            connection.execute(statement)

    def prepare(self, work: Callable[[Cursor], Result]) -> Result:
        """The same on a database that may have no vectors yet."""
        with (
            self._translate_errors(),
            self._connect() as connection,
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            return work(cursor)

    def close(self) -> None:
        """Ends what is idle; nothing can be asked afterwards."""
        self._closed = True
        while connection := self._take_idle():
            connection.close()

    def _run(self, begin: LiteralString, work: Callable[[Cursor], Result], patience: Callable[[], float]) -> Result:
        connection = self._begin(begin, patience)
        try:
            with connection.cursor(binary=True) as cursor:
                result = work(cursor)
            connection.commit()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return result

    def _patience_to_read(self) -> float:
        return SECONDS_TO_ANSWER if self._reading is None else self._reading

    def _patience_to_write(self) -> float:
        return SECONDS_TO_ANSWER if self._writing is None else self._writing

    def _begin(self, begin: LiteralString, patience: Callable[[], float]) -> Connection:
        if self._closed:
            raise SamecarError(f"the gallery on {self.server} was closed; open it again")
        while connection := self._take_idle():
            connection.patience = patience  # type: ignore[method-assign]
            try:
                connection.execute(begin)
            except SilentServerError:
                connection.close()
                raise  # another connection would hear no more
            except psycopg.OperationalError:
                connection.close()  # it ended while idle, before anything was asked of it
            else:
                return connection
        connection = self._connect()
        connection.patience = patience  # type: ignore[method-assign]
        try:
            register_vector(connection)
        except psycopg.ProgrammingError as error:
            connection.close()
            raise NoGalleryError(
                f"{self.server} holds no gallery: its database lacks the extension vector; make a gallery in it first, "
                "or name another database"
            ) from error
        connection.execute(begin)
        return connection

    def _take_idle(self) -> Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connect(self) -> Connection:
        """A new connection that plans each statement for its own values.

        A plan for any value would not know how many entries a filter leaves, nor how many are asked for.
        """
        try:
            return Connection.connect(
                self._address,
                autocommit=True,
                prepare_threshold=None,
                connect_timeout=self._parts.get("connect_timeout", SECONDS_TO_CONNECT),
                fallback_application_name="samecar",
                **{name: self._parts.get(name, value) for name, value in KEEPALIVE.items()},
            )
        except psycopg.Error as error:
            reason = self._without_password(" ".join(str(error).split()))
            raise UnreachableError(
                f"{self.server} lets nobody in: {reason}; check that the server runs, and the address, the name and "
                "the password"
            ) from error

    def _without_password(self, text: str) -> str:
        password = str(self._parts.get("password") or "")
        return text.replace(password, "***") if password else text

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Says in one sentence what a user can mend; other errors are ours and go through."""
        try:
            yield
        except UnicodeEncodeError as error:
            raise SamecarError(
                f"{self.server} keeps only Unicode texts, not {error.object!r}; leave that text out"
            ) from error
        except psycopg.Error as error:
            sentence = self._sentence(error)
            if sentence is None:
                raise
            lost = isinstance(error, psycopg.OperationalError) and _is_lost(error)
            raise (UnreachableError if lost else SamecarError)(sentence) from error

    def _sentence(self, error: psycopg.Error) -> str | None:
        reason = self._without_password(error.diag.message_primary or " ".join(str(error).split()))
        match error:
            case errors.InsufficientPrivilege():
                return f"{self.server} refuses: {reason}; ask who runs the server for the right to do so"
            case errors.ReadOnlySqlTransaction():
                return f"{self.server} only reads, as replicas do: {reason}; write to the primary server"
            case errors.DiskFull() | errors.ProgramLimitExceeded() | errors.OutOfMemory():
                return f"{self.server} has no room for this: {reason}; nothing was changed"
            case errors.UndefinedTable() | errors.UndefinedColumn() | psycopg.InternalError():
                return f"a gallery on {self.server} is damaged: {reason}; bring it back from a backup"
            case psycopg.DataError():
                return f"{self.server} cannot keep this: {reason}; leave it out"
            case psycopg.OperationalError() if _is_lost(error):
                return f"{self.server} ended the connection: {reason}; do it again, what is kept already stays as it is"
            case psycopg.OperationalError():
                return f"{self.server} stopped the work: {reason}; nothing was changed, try it again"
        return None


def _parse_address(address: str) -> dict[str, Any]:
    """Parts of an address; what libpq says about a malformed one is not told, as it may quote the password."""
    try:
        parts = conninfo_to_dict(address)
    except (psycopg.ProgrammingError, UnicodeEncodeError):
        parts = None
    if parts is None or "@" in str(parts.get("host", "")) or not set(str(parts.get("port", ""))) <= set("0123456789,"):
        raise SamecarError(
            "the address of the server is malformed; it is postgresql://USER:PASSWORD@HOST:PORT/DATABASE, where signs "
            "such as @ : / in the password are written as %40 %3A %2F"
        )
    return parts


def _is_lost(error: psycopg.OperationalError) -> bool:
    """Whether the connection ended, by itself (no code) or by the server (57P01 and following)."""
    return error.sqlstate is None or error.sqlstate.startswith("57P")
