"""Connections to clients: how many there may be, and how long one may stay silent or leave answers unread."""

import asyncio
from functools import partial
from typing import Any, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from samecar.serving.errors import ServiceError, reply
from samecar.serving.headers import HEADERS
from samecar.serving.settings import ServiceSettings

HEAD_BYTES: Final = 65_536
"""Most bytes of a request's head; addresses and headers of this service take a few thousand."""

MALFORMED: Final = f"this is no HTTP request, or its head has more than {HEAD_BYTES:,} bytes"
"""What is told of a request that cannot be read."""

ENDING_SECONDS: Final = 2.0
"""How long a service that was told to end waits for a body, and for a client that takes nothing of an answer."""

_Protocol: Any = H11Protocol
"""uvicorn's own, which is not part of its public interface: hence the upper bound on its version in pyproject.toml.

Of its two this is the one on h11, whose own limit holds for whatever is not whole yet: a head, the size of a piece of a
body, and what follows the last piece. It looks at a request only when the one before it was answered, and reads nothing
until then. httptools has no limits, and takes all that comes.
"""


class Shared:
    """What the connections of one service share.

    Args:
        settings: how many there may be, how long the head of a request may take, and how long an answer lie unread.

    Attributes:
        waiting: connections on which no request is in progress, the one that has waited longest first.
        sending: connections whose client is sending a body, the one that began first.
        unread: connections whose client does not take what is sent, the one that has taken nothing for longest first.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.most = settings.connections
        self.head_seconds = settings.head_seconds
        self.unread_seconds = settings.unread_seconds
        self.waiting: dict[Connection, None] = {}
        self.sending: dict[Connection, None] = {}
        self.unread: dict[Connection, None] = {}

    def make_room(self, new: "Connection") -> None:
        """Ends what is missed least: a connection that waits, does not read, or sends; the new one if there is none."""
        ranked = (*self.waiting, *self.unread, *self.sending)
        next((other for other in ranked if other is not new), new).hang_up()


class Connection(_Protocol):  # type: ignore[misc]
    """A connection that is closed if the head of a request does not come in time, or an answer is not taken.

    uvicorn itself waits without end for the first head, for the rest of one that has begun, and for a client that does
    not read. Where there are too many connections, the one goes that has waited longest for a request, so that silent
    ones keep nobody out; then one that takes no answer, and one whose body has been on its way for longest. If all
    others are at work, the new one goes.

    Args:
        shared: with the other connections.
        options: of uvicorn.
    """

    def __init__(self, shared: Shared, **options: Any) -> None:
        super().__init__(**options)
        self.shared = shared
        self.deadline: asyncio.TimerHandle | None = None
        self.unread_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begins to wait for a request, and makes room if there is none."""
        super().connection_made(transport)
        self._start_head_timer()
        if len(self.connections) > self.shared.most:
            self.shared.make_room(self)

    def data_received(self, data: bytes) -> None:
        """Takes what has come, and waits on unless it makes a head whole."""
        super().data_received(data)
        self._note_work()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Answers what is no HTTP as everything that goes wrong is answered."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()  # whoever waits for the rest of a body learns that none will come
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # the answer to what came before has begun
            self.hang_up()
            return
        answer = reply(ServiceError(400, "bad_request", MALFORMED))
        headers = [*answer.raw_headers, *((name.encode(), value.encode()) for name, value in HEADERS.items())]
        head = h11.Response(status_code=400, headers=[*headers, (b"connection", b"close")], reason=b"Bad Request")
        for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def on_response_complete(self) -> None:
        """Begins to wait for the next request, unless it is there already."""
        super().on_response_complete()
        self.shared.sending.pop(self, None)
        if self._is_at_work():
            self._note_work()
        else:
            self._start_head_timer()

    def pause_writing(self) -> None:
        """Begins to wait until the client takes what was sent."""
        super().pause_writing()
        self._stop_unread_timer()
        self.shared.unread[self] = None
        self.unread_deadline = self.loop.call_later(self.shared.unread_seconds, self.hang_up)

    def resume_writing(self) -> None:
        """Goes on, since the client has taken most of it."""
        super().resume_writing()
        self._stop_unread_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops waiting for anything."""
        self._forget()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Lets what was begun be finished, and waits a moment for clients that send or take nothing."""
        self.shared.unread_seconds = min(self.shared.unread_seconds, ENDING_SECONDS)
        super().shutdown()
        self.loop.call_later(ENDING_SECONDS, self._end)

    def hang_up(self) -> None:
        """Ends the connection at once, also where the client has not taken all of the last answer."""
        self._forget()
        self.connections.discard(self)
        if self.cycle is not None:
            self.cycle.disconnected = True  # else more of its answer would be written before the loss is noticed
        self.transport.abort()

    def _is_at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _note_work(self) -> None:
        """Stops waiting for a head that is there, and notes whether its body still is on its way."""
        if not self._is_at_work():
            return
        self._stop_head_timer()
        if self.cycle.more_body:
            self.shared.sending[self] = None
        else:
            self.shared.sending.pop(self, None)

    def _end(self) -> None:
        if self in self.shared.unread or self in self.shared.sending or not self._is_at_work():
            self.hang_up()

    def _forget(self) -> None:
        self._stop_head_timer()
        self._stop_unread_timer()
        self.shared.sending.pop(self, None)

    def _start_head_timer(self) -> None:
        self._stop_head_timer()
        self.shared.waiting[self] = None
        self.deadline = self.loop.call_later(self.shared.head_seconds, self.transport.close)

    def _stop_head_timer(self) -> None:
        self.shared.waiting.pop(self, None)
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def _stop_unread_timer(self) -> None:
        self.shared.unread.pop(self, None)
        if self.unread_deadline is not None:
            self.unread_deadline.cancel()
            self.unread_deadline = None


def connection_maker(settings: ServiceSettings) -> type[asyncio.Protocol]:
    """What uvicorn makes each of a service's connections with, as it takes it: in place of a class."""
    return cast(type[asyncio.Protocol], partial(Connection, Shared(settings)))
