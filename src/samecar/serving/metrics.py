"""What a service counts for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of buckets in seconds: from a thumbnail to a slow upload."""

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
"""Bounds of buckets in pictures."""


class Metrics:
    """The counters of one service, in a registry of their own: several services can live in one process."""

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
        self.queue = Gauge("samecar_queue_pictures", "Pictures that wait for the model", registry=self.registry)
        self.in_progress = Gauge(
            "samecar_requests_in_progress", "Requests to the gallery that are in progress", registry=self.registry
        )
        self.pictures = Gauge("samecar_gallery_pictures", "Pictures in the gallery", registry=self.registry)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)
