"""The instruments: their names, labels and help texts, on one page.

All of it is public. A name or a label changes only with a word in the changelog.
What the labels may hold, and when an instrument moves, `sidecar.telemetry.metrics` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

# From a resumed handshake on the same node to the limit of ten seconds.
_HANDSHAKE_BUCKETS = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10,
)  # fmt: skip


class Instruments:
    """Every instrument of the proxy, on the registry that is given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._make_traffic()
        self._make_policy()
        self._make_operations()

    def _make_traffic(self) -> None:
        self.handshakes = self._counter(
            "sidecar_handshakes_total",
            "TLS handshakes that ended, by why they did.",
            "direction",
            "result",
            "reason",
            "resumed",
        )
        self.handshake_seconds = Histogram(
            "sidecar_handshake_seconds",
            "How long TLS handshakes took, in seconds.",
            ["direction", "result"],
            buckets=_HANDSHAKE_BUCKETS,
            registry=self._registry,
        )
        self.connections = self._counter(
            "sidecar_connections_total",
            "Connections that ended, by how they did.",
            "direction",
            "outcome",
        )
        self.connections_open = self._gauge(
            "sidecar_connections_open", "Connections that are open now.", "direction"
        )
        self.connections_limit = self._gauge(
            "sidecar_connections_limit",
            "Connections that may be open at once; past it callers wait.",
        )
        self.received = self._counter(
            "sidecar_received_bytes_total",
            "Payload bytes from the side that opened the connection.",
            "direction",
        )
        self.sent = self._counter(
            "sidecar_sent_bytes_total",
            "Payload bytes to the side that opened the connection.",
            "direction",
        )
        self.plaintext = self._counter(
            "sidecar_plaintext_connections_total",
            "Connections without TLS on ports that permit them.",
            "direction",
            "port",
        )

    def _make_policy(self) -> None:
        self.decisions = self._counter(
            "sidecar_policy_decisions_total",
            "Decisions of the policy, by the rule that made them.",
            "direction",
            "decision",
            "rule",
        )
        self.peer_connections = self._counter(
            "sidecar_peer_connections_total",
            "Connections by the name that the peer proved.",
            "direction",
            "peer",
            "decision",
        )

    def _make_operations(self) -> None:
        self.svid_not_before = self._gauge(
            "sidecar_svid_not_before_timestamp_seconds",
            "When the life of the SVID in use began, in Unix time; 0 before one is.",
        )
        self.svid_expiry = self._gauge(
            "sidecar_svid_expiry_timestamp_seconds",
            "When the SVID in use expires, in Unix time; 0 before one is loaded.",
        )
        self.additional_svid_expiry = self._gauge(
            "sidecar_additional_svid_expiry_timestamp_seconds",
            "When the SVID of an additional identity expires, in Unix time.",
            "identity",
        )
        self.bundle_expiry = self._gauge(
            "sidecar_bundle_expiry_timestamp_seconds",
            "When the last root of a trust bundle expires, in Unix time.",
            "trust_domain",
        )
        self.reloads = self._counter(
            "sidecar_reloads_total",
            "Attempts to load something anew; a failed one changes nothing.",
            "what",
            "result",
        )
        self.generation = self._gauge(
            "sidecar_generation", "Which generation serves new connections.", "what"
        )
        self.access_records_dropped = self._counter(
            "sidecar_access_records_dropped_total",
            "Access records lost because the reader of stdout is too slow or gone.",
        )
        self.build_info = self._gauge(
            "sidecar_build_info",
            "What is running; the value is always 1.",
            "version",
            "python",
            "openssl",
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)
