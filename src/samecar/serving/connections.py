"""Connections to clients: how many there may be, and how long one may stay silent or leave answers unread."""

import asyncio
from functools import partial
from typing import Any, Final, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from samecar.serving.settings import ServiceSettings

HEAD_BYTES: Final = 65_536
"""Most bytes of a request's head; addresses and headers of this service take a few thousand."""

_Protocol: Any = AutoHTTPProtocol
"""uvicorn's own, which is not part of its public interface: hence the upper bound on its version in pyproject.toml.

There are two, one on httptools and one on h11, which are alike in all that is used here.
"""


class Shared:
    """What the connections of one service share.

    Args:
        settings: how many there may be, how long the head of a request may take, and how long an answer lie unread.

    Attributes:
        waiting: connections on which no request is in progress, the one that has waited longest first.
        unread: connections whose client does not take what is sent, the one that has taken nothing for longest first.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.most = settings.connections
        self.head_seconds = settings.head_seconds
        self.unread_seconds = settings.unread_seconds
        self.waiting: dict[Connection, None] = {}
        self.unread: dict[Connection, None] = {}

    def make_room(self, new: "Connection") -> None:
        """Ends the connection that is missed least: one that waits, else one that does not read, else the new one."""
        next((other for other in (*self.waiting, *self.unread) if other is not new), new).hang_up()


class Connection(_Protocol):  # type: ignore[misc]
    """A connection that is closed if the head of a request does not come in time, or an answer is not taken.

    uvicorn itself waits without end for the first head, for the rest of one that has begun, and for a client that does
    not read. Where there are too many connections, the one goes that has waited longest for a request, so that silent
    ones keep nobody out; if all others are at work, the new one goes.

    Args:
        shared: with the other connections.
        options: of uvicorn.
    """

    def __init__(self, shared: Shared, **options: Any) -> None:
        super().__init__(**options)
        self.shared = shared
        self.deadline: asyncio.TimerHandle | None = None
        self.unread_deadline: asyncio.TimerHandle | None = None
        self.head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begins to wait for a request, and makes room if there is none."""
        super().connection_made(transport)
        self._start_head_timer()
        if len(self.connections) > self.shared.most:
            self.shared.make_room(self)

    def data_received(self, data: bytes) -> None:
        """Takes what has come, and waits on unless it makes a head whole."""
        super().data_received(data)
        if self._is_at_work():
            self._stop_head_timer()
            return
        self.head_bytes += len(data)
        if self.head_bytes > HEAD_BYTES:
            self.hang_up()

    def on_response_complete(self) -> None:
        """Begins to wait for the next request, unless it is there already."""
        super().on_response_complete()
        if not self._is_at_work():
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
        self._stop_head_timer()
        self._stop_unread_timer()
        super().connection_lost(exc)

    def hang_up(self) -> None:
        """Ends the connection at once, also where the client has not taken all of the last answer."""
        self._stop_head_timer()
        self._stop_unread_timer()
        self.connections.discard(self)
        if self.cycle is not None:
            self.cycle.disconnected = True  # else more of its answer would be written before the loss is noticed
        self.transport.abort()

    def _is_at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _start_head_timer(self) -> None:
        self._stop_head_timer()
        self.shared.waiting[self] = None
        self.deadline = self.loop.call_later(self.shared.head_seconds, self.transport.close)

    def _stop_head_timer(self) -> None:
        self.head_bytes = 0
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
