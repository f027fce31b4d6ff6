"""Who is let in, and how often: decided by a request's head, before its body is read."""

import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from samecar.serving.admission import SAFE_METHODS, client_address, network_of, route_path
from samecar.serving.errors import ServiceError, reply
from samecar.serving.settings import ServiceSettings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""What a browser on this machine calls it; any other name that leads here was made to lead here by somebody."""

READY = "/ready"
"""What asks for no token and yet asks the gallery."""

API = "/api/"
"""How the addresses begin of all that reads or changes the gallery."""

ADDRESSES = 10_000
"""Addresses that are remembered; beyond it the one that asked longest ago is forgotten, so that memory is bounded."""


class RateLimit:
    """A token bucket for each address: `burst` requests at once, `rate` a second in the long run.

    Args:
        rate: requests a second; 0 allows all.
        burst: requests at once.
        clock: seconds that only grow.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.burst = burst
        self.clock = clock
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and when that was so

    def seconds_to_wait(self, address: str) -> int:
        """Takes one request from an address's bucket: 0 if there was one, else seconds until there is."""
        if not self.rate:
            return 0
        now = self.clock()
        key = network_of(address)
        left, then = self.buckets.pop(key, (float(self.burst), now))
        left = min(self.burst, left + (now - then) * self.rate)
        allowed = left >= 1
        self.buckets[key] = (left - allowed, now)
        if len(self.buckets) > ADDRESSES:
            self.buckets.popitem(last=False)
        return 0 if allowed else math.ceil((1 - left) / self.rate)


class Guard:
    """Lets a request in that may be answered, and refuses every other one.

    Args:
        app: what is guarded.
        settings: what is allowed.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self.app = app
        self.rate = RateLimit(settings.rate, settings.burst)
        self.probes = RateLimit(settings.rate, settings.burst)  # clients must not use up what a probe needs
        self.token = None if settings.token is None else settings.token.get_secret_value().encode()
        self.host_names = LOOPBACK_NAMES | {name.lower() for name in settings.host_names}
        if settings.loopback:
            self.host_names |= {address_name(settings.host).lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except ServiceError as error:
            await reply(error)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Refuses what is not allowed, cheapest first."""
        path, method, headers = route_path(scope), scope["method"], Headers(scope=scope)
        if path == READY:
            self._limit_rate(self.probes, scope)
        if path != "/metrics" and not path.startswith(API):
            return
        if self.token is None:
            self._check_origin(method, headers)
        elif not self._has_token(headers):
            raise ServiceError(401, "unauthorized", "this service asks for a token: Authorization: Bearer TOKEN")
        self._limit_rate(self.rate, scope)

    def _limit_rate(self, rate: RateLimit, scope: Scope) -> None:
        if wait := rate.seconds_to_wait(client_address(scope)):
            message = f"this address asks too often; wait {wait} s"
            raise ServiceError(429, "too_many_requests", message, retry_after=wait)

    def _has_token(self, headers: Headers) -> bool:
        assert self.token is not None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode("latin-1"), self.token)

    def _check_origin(self, method: str, headers: Headers) -> None:
        """Without a token, whoever may ask is known by where the question comes from.

        A page of another site that somebody on this machine visits must neither drive the service nor read it, also
        not by giving its own name this machine's address.
        """
        host = headers.get("host", "")
        if _host_name(host) not in self.host_names:
            message = "without a token this service answers to localhost, 127.0.0.1 and what --host-name adds"
            raise ServiceError(403, "forbidden", message)
        foreign = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        origin = headers.get("origin")
        if method not in SAFE_METHODS and origin is not None:
            foreign |= origin.partition("://")[2].lower() != host.lower()
        if foreign:
            raise ServiceError(403, "forbidden", "pages of other sites may not use this service")


def address_name(host: str) -> str:
    """How an address to listen on stands in the address of a page."""
    return f"[{host}]" if ":" in host else host


def _host_name(host: str) -> str:
    """The name of a Host header, without its port."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()
