"""How many requests to the gallery are in progress at a time, and how many bodies one address may be sending."""

import ipaddress
from collections import Counter
from types import TracebackType
from typing import Self

from starlette.types import Scope

from samecar.serving.errors import ServiceError, busy
from samecar.serving.metrics import Metrics
from samecar.serving.settings import ServiceSettings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""

SEARCH = "/api/search"
"""What is sent like a change and changes nothing."""

NETWORK = 64
"""Bits of an IPv6 address that count: whoever has one has all that share them."""


class Admission:
    """What one service has in progress.

    Args:
        settings: how much there may be.
        metrics: where it is told.

    Attributes:
        in_progress: requests that are worked on; their bodies have come.
        changing: how many of these change the gallery.
        sending: bodies that are on their way, by the network of who sends them.
    """

    def __init__(self, settings: ServiceSettings, metrics: Metrics) -> None:
        self.most = settings.waiting
        self.most_changing = max(1, settings.waiting // 2)  # they may all wait for another writer
        self.most_sending = settings.uploads
        self.in_progress = 0
        self.changing = 0
        self.sending: Counter[str] = Counter()
        self._metrics = metrics

    def tell(self) -> None:
        """Tells the metrics how much there is now."""
        self._metrics.in_progress.set(self.in_progress)
        self._metrics.sending.set(self.sending.total())


class Visit:
    """A request to the gallery: it is counted once its body has come, so that half-sent ones keep nobody out.

    Args:
        admission: of the service.
        scope: the request.
        sends: whether it has a body that is read.
    """

    def __init__(self, admission: Admission, scope: Scope, *, sends: bool) -> None:
        self.admission = admission
        self.sends = sends
        self.changes = scope["method"] not in SAFE_METHODS and route_path(scope) != SEARCH
        self.network = network_of(client_address(scope))
        self.is_sending = False
        self.is_counted = False

    def __enter__(self) -> Self:
        """Refuses what there is no room for, before its body is read.

        Raises:
            ServiceError: too many are in progress, or this address sends too many bodies.
        """
        if not self.sends:
            self.begin()
            return self
        self._refuse_if_full()
        sending = self.admission.sending
        if self.admission.most_sending and sending[self.network] >= self.admission.most_sending:
            message = "this address sends too many bodies at the same time; try again in a second"
            raise ServiceError(429, "too_many_requests", message, retry_after=1)
        sending[self.network] += 1
        self.is_sending = True
        self.admission.tell()
        return self

    def begin(self) -> None:
        """Counts it, since all of it is there.

        Raises:
            ServiceError: too many are in progress.
        """
        self._end_sending()
        self._refuse_if_full()
        self.admission.in_progress += 1
        self.admission.changing += self.changes
        self.is_counted = True
        self.admission.tell()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Makes room for others."""
        self._end_sending()
        if self.is_counted:
            self.admission.in_progress -= 1
            self.admission.changing -= self.changes
        self.admission.tell()

    def _refuse_if_full(self) -> None:
        full = self.admission.in_progress >= self.admission.most
        if full or (self.changes and self.admission.changing >= self.admission.most_changing):
            raise busy()

    def _end_sending(self) -> None:
        if self.is_sending:
            self.is_sending = False
            self.admission.sending[self.network] -= 1
            if not self.admission.sending[self.network]:
                del self.admission.sending[self.network]


def client_address(scope: Scope) -> str:
    """The address of who asks, as far as it is known."""
    address: str = (scope.get("client") or ("",))[0]
    return address


def network_of(address: str) -> str:
    """What limits count by: an address, or of IPv6 the network that it is in."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, NETWORK), strict=False))


def route_path(scope: Scope) -> str:
    """The path by which a route is found: without the prefix below which another application has put this one."""
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "")
    return path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path
