"""What a service counts for Prometheus."""

import os
import time
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CONTENT_TYPE_LATEST", "CountRequests", "Metrics"]

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
"""Methods that are counted one by one; a client may send any word as one."""

LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of buckets in seconds: from a thumbnail to a slow upload."""

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
"""Bounds of buckets in pictures."""


SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""In the environment: a folder where the counters of all processes of a service lie; its library reads it too."""


class Metrics:
    """The counters of one service, in a registry of their own: several services can live in one process.

    Of a service of several processes each process counts, and any of them tells the sums.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "samecar_requests", "Requests by route and status", ["method", "route", "status"], registry=self.registry
        )
        self.latency = Histogram(
            "samecar_request_seconds",
            "From a request's head to the end of its answer",
            ["route"],
            buckets=LATENCIES,
            registry=self.registry,
        )
        self.batch = Histogram(
            "samecar_batch_pictures",
            "Pictures that went through the model together",
            buckets=BATCHES,
            registry=self.registry,
        )
        self.embedding = Counter("samecar_embedding_seconds", "Time of the model", registry=self.registry)
        self.queue = self._gauge("samecar_queue_pictures", "Pictures that wait for the model")
        self.in_progress = self._gauge("samecar_requests_in_progress", "Requests to the gallery that are in progress")
        self.sending = self._gauge("samecar_uploads_in_progress", "Bodies that are on their way")
        self.pictures = self._gauge("samecar_gallery_pictures", "Pictures in the gallery", "mostrecent")

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        if SHARED_FOLDER not in os.environ:
            return generate_latest(self.registry)
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return generate_latest(shared)

    def _gauge(self, name: str, told: str, of_processes: Literal["livesum", "mostrecent"] = "livesum") -> Gauge:
        return Gauge(name, told, registry=self.registry, multiprocess_mode=of_processes)


class CountRequests:
    """Counts every request by its route and the status of its answer, and measures how long it took.

    Args:
        app: what answers.
        metrics: where requests are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500  # what is answered outside of this layer where the app raises an error

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note_status)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            known = route != "none" and scope["method"] in METHODS
            self.metrics.requests.labels(scope["method"] if known else "any", route, status).inc()
            self.metrics.latency.labels(route).observe(time.perf_counter() - began)
