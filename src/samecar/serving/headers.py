"""What every answer says to browsers, and that a connection ends on which a body was left unread."""

import asyncio
import contextlib
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from samecar.serving.settings import ServiceSettings

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Nothing comes from elsewhere, nothing goes elsewhere, nobody frames the page."""

DISCARDED = 10
"""How many times the largest body is read of one that was refused: whoever is still sending often looks only later."""


class AddHeaders:
    """Adds `HEADERS` to every answer, and forbids keeping it where it does not say how long it may be kept.

    Args:
        app: what answers.
        settings: how large a body may be, and how long it may take.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self.app = app
        self.most_discarded = DISCARDED * settings.bytes
        self.seconds = settings.upload_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        unread, waits_not = _has_body(headers), "expect" not in headers

        async def receive_body() -> Message:
            nonlocal unread
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer.update(HEADERS)
                answer.setdefault("Cache-Control", "no-store")
                if unread:
                    answer["Connection"] = "close"
            elif unread and waits_not and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await self._discard(receive_body)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self.app(scope, receive_body, send_with_headers)

    async def _discard(self, receive: Receive) -> None:
        """Reads on for a while, since the client would lose the answer if the connection ended while it sends."""
        discarded, more = 0, True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.seconds):
                while more and discarded <= self.most_discarded:
                    message = await receive()
                    discarded += len(message.get("body", b""))
                    more = message.get("more_body", False)


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
