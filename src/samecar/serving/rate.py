"""How many requests one address may make."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

ADDRESSES = 10_000
"""Addresses that are remembered; beyond it the one that asked longest ago is forgotten, so that memory is bounded."""

NETWORK = 64
"""Bits of an IPv6 address that count: whoever has one has all that share them."""


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
        key = _network(address)
        left, then = self.buckets.pop(key, (float(self.burst), now))
        left = min(self.burst, left + (now - then) * self.rate)
        allowed = left >= 1
        self.buckets[key] = (left - allowed, now)
        if len(self.buckets) > ADDRESSES:
            self.buckets.popitem(last=False)
        return 0 if allowed else math.ceil((1 - left) / self.rate)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, NETWORK), strict=False))
