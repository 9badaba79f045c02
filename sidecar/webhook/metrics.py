"""What the webhook counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from prometheus_client import (
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from sidecar.telemetry.metrics import text_of
from sidecar.webhook.review import Result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from prometheus_client import CollectorRegistry

What: TypeAlias = Literal["certificate", "settings"]
"""What is reloaded."""

WHATS: tuple[What, ...] = ("certificate", "settings")

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0)


class WebhookMetrics:
    """The instruments, on a registry that the caller chooses."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Of counters, whose beginning nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry
        ProcessCollector(registry=registry)
        self._reviews = Counter(
            "sidecar_webhook_reviews",
            "Admission reviews, by what came of them.",
            ["result"],
            registry=registry,
        )
        self._seconds = Histogram(
            "sidecar_webhook_review_seconds",
            "From a whole review to its answer.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._handshakes = Counter(
            "sidecar_webhook_handshake_failures",
            "TLS handshakes with the webhook that failed.",
            registry=registry,
        )
        self._reloads = Counter(
            "sidecar_webhook_reloads",
            "Files that changed while the webhook ran.",
            ["what", "result"],
            registry=registry,
        )
        self._expiry = Gauge(
            "sidecar_webhook_certificate_expiry_timestamp_seconds",
            "When the certificate that is served ends.",
            registry=registry,
        )
        for result in Result:
            self._reviews.labels(result)
        for what in WHATS:
            for outcome in ("success", "failure"):
                self._reloads.labels(what, outcome)

    def reviewed(self, result: Result, seconds: float) -> None:
        """A review was answered."""
        self._reviews.labels(result).inc()
        self._seconds.observe(seconds)

    def handshake_failed(self) -> None:
        """A client did not get as far as to ask."""
        self._handshakes.inc()

    def reloaded(self, what: What, *, ok: bool) -> None:
        """A file was read anew."""
        self._reloads.labels(what, "success" if ok else "failure").inc()

    def certificate_loaded(self, expiry: datetime) -> None:
        """Another certificate is served."""
        self._expiry.set(expiry.timestamp())

    def render_parts(self) -> Iterator[bytes]:
        """Give the page that a scraper reads, one metric at a time."""
        for family in self._registry.collect():
            yield text_of(family)
