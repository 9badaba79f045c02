"""What is counted: one method for each event, and the page that a scraper reads.

Whatever can be known beforehand is created at start, so that a zero is visible and the
first failure is an increase. The children of labelled instruments are looked up once
and kept, since these methods run for every connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from prometheus_client import ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder, generate_latest

from sidecar.telemetry.capped import (
    LABEL_LENGTH,
    OTHER,
    PEERS,
    PORTS,
    RULES,
    CappedLabels,
)
from sidecar.telemetry.children import Children
from sidecar.telemetry.instruments import Instruments
from sidecar.telemetry.labels import NEVER_RESUMED, Direction, Outcome, Reason, Verdict
from sidecar.telemetry.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

What: TypeAlias = Literal["config", "policy", "identity"]
"""What is reloaded, each with generations of its own."""

CONTENT_TYPE: Final = choose_encoder("")[1]
"""The type of `Metrics.render`: the text format that every scraper reads."""

DEFAULT_RULE: Final = "default"
"""The rule label of a decision that no rule made."""

_WHATS: tuple[What, ...] = ("config", "policy", "identity")


class Metrics:
    """The instruments, on a registry that the caller chooses."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # Holds for the whole process. A second series beside every counter, for the
        # time of its creation, doubles what a scrape costs and nobody asks for it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._tally = Tally()
        registry.register(self._tally)
        ProcessCollector(registry=registry)
        self._registry = registry
        self._before_scrape: list[Callable[[], None]] = []
        self._on = Instruments(registry)
        self._find_children()
        self._show_zeros()

    def _find_children(self) -> None:
        on = self._on
        peers, rules = CappedLabels(PEERS), CappedLabels(RULES)
        # An application that talks to many ports must not hide the ports it serves.
        ports = {direction: CappedLabels(PORTS) for direction in Direction}
        self._seconds = {
            (direction, ok): on.handshake_seconds.labels(direction, _result(ok=ok))
            for direction in Direction
            for ok in (True, False)
        }
        self._open = {of: on.connections_open.labels(of) for of in Direction}
        self._received = {of: on.received.labels(of) for of in Direction}
        self._sent = {of: on.sent.labels(of) for of in Direction}
        self._handshakes: Children[tuple[Direction, Reason, bool]] = Children(
            on.handshakes, _handshake_labels
        )
        self._connections: Children[tuple[Direction, Outcome]] = Children(
            on.connections, lambda *key: key
        )
        self._plaintext: Children[tuple[Direction, int]] = Children(
            on.plaintext, lambda of, port: (of, ports[of].label(str(port)))
        )
        self._decisions: Children[tuple[Direction, Verdict, str | None]] = Children(
            on.decisions,
            lambda of, verdict, rule: (
                of,
                verdict,
                DEFAULT_RULE if rule is None else rules.label(rule),
            ),
        )
        self._peers: Children[tuple[Direction, str, Verdict]] = Children(
            on.peer_connections,
            lambda of, peer, verdict: (of, peers.label(peer), verdict),
        )

    def _show_zeros(self) -> None:
        for direction in Direction:
            for reason in Reason:
                self._handshakes.show((direction, reason, False))
                if reason not in NEVER_RESUMED:
                    self._handshakes.show((direction, reason, True))
            for outcome in Outcome:
                self._connections.show((direction, outcome))
            for verdict in (Verdict.ALLOW, Verdict.DENY, Verdict.AUDIT):
                self._decisions.show((direction, verdict, None))
                self._on.peer_connections.labels(direction, OTHER, verdict)
        for what in _WHATS:
            self._on.generation.labels(what)
            for ok in (True, False):
                self._on.reloads.labels(what, _result(ok=ok))

    # What a scraper asks for

    def on_scrape(self, callback: Callable[[], None]) -> None:
        """Have *callback* publish what is counted elsewhere, just before a scrape."""
        self._before_scrape.append(callback)

    def render(self) -> bytes:
        """All metrics in the text format, of type `CONTENT_TYPE`."""
        return b"".join(self.render_parts())

    def render_parts(self) -> Iterator[bytes]:
        """The same text, one metric at a time.

        A thousand series take some milliseconds; between the parts a caller on the
        event loop can let others run.
        """
        for family in self.families():
            yield text_of(family)

    def families(self) -> Iterator[Metric]:
        """The metrics themselves, up to date."""
        for callback in self._before_scrape:
            callback()
        yield from self._registry.collect()

    # Traffic

    def handshake_finished(
        self, direction: Direction, reason: Reason, *, resumed: bool, seconds: float
    ) -> None:
        """Count one TLS handshake, ended well or not."""
        self._tally.add(self._handshakes[direction, reason, resumed])
        self._tally.observe(self._seconds[direction, reason == Reason.OK], seconds)

    def connection_opened(self, direction: Direction) -> None:
        """Count a connection among those that are open."""
        self._tally.add(self._open[direction])

    def connection_closed(self, direction: Direction, outcome: Outcome) -> None:
        """Count how a connection ended; it was counted as open before."""
        self._tally.add(self._open[direction], -1)
        self._tally.add(self._connections[direction, outcome])

    def connections_limited(self, limit: int) -> None:
        """Show how many connections may be open at once."""
        self._on.connections_limit.set(limit)

    def add_bytes(self, direction: Direction, received: int, sent: int) -> None:
        """Count payload: from the side that opened the connection, and to it."""
        self._tally.add(self._received[direction], received)
        self._tally.add(self._sent[direction], sent)

    def plaintext_connection(self, direction: Direction, port: int) -> None:
        """Count a connection without TLS, on a port that permits it."""
        self._tally.add(self._plaintext[direction, port])

    def declare_ports(self, direction: Direction, ports: Iterable[int]) -> None:
        """Show zero for the ports that permit plaintext."""
        for port in ports:
            self._plaintext.show((direction, port))

    # Policy

    def policy_decided(
        self, direction: Direction, verdict: Verdict, rule: str | None
    ) -> None:
        """Count a decision under the rule that made it; None is the default."""
        self._tally.add(self._decisions[direction, verdict, rule])

    def declare_rules(
        self,
        names: Iterable[str],
        *,
        verdicts: Iterable[Verdict] = (Verdict.ALLOW, Verdict.DENY),
        direction: Direction = Direction.INBOUND,
    ) -> None:
        """Show zero for rules that were loaded, under each verdict they can give."""
        verdicts = tuple(verdicts)
        for name in names:
            for verdict in verdicts:
                self._decisions.show((direction, verdict, name))

    def peer_connected(self, direction: Direction, peer: str, verdict: Verdict) -> None:
        """Count a connection of a peer whose handshake succeeded.

        Only then: a name that nobody verified must not take one of the few labels.
        """
        # Cut here, so that long names cannot fill the table of children either.
        self._tally.add(self._peers[direction, peer[:LABEL_LENGTH], verdict])

    # Operations

    def svid_loaded(self, not_before: datetime, expiry: datetime) -> None:
        """Show when the SVID in use begins and ends."""
        self._on.svid_not_before.set(not_before.timestamp())
        self._on.svid_expiry.set(expiry.timestamp())

    def additional_svid_loaded(self, identity: str, expiry: datetime) -> None:
        """Show when the SVID of another of our identities ends."""
        self._on.additional_svid_expiry.labels(identity).set(expiry.timestamp())

    def additional_svid_removed(self, identity: str) -> None:
        """Stop showing an identity that is ours no more."""
        self._on.additional_svid_expiry.remove(identity)

    def bundle_loaded(self, trust_domain: str, expiry: datetime) -> None:
        """Show when the last root of a trust domain's bundle ends."""
        self._on.bundle_expiry.labels(trust_domain).set(expiry.timestamp())

    def bundle_removed(self, trust_domain: str) -> None:
        """Stop showing a trust domain, so that its old date raises no alert."""
        self._on.bundle_expiry.remove(trust_domain)

    def reloaded(self, what: What, ok: bool) -> None:
        """Count an attempt to load *what* anew."""
        self._on.reloads.labels(what, _result(ok=ok)).inc()

    def generation(self, what: What, n: int) -> None:
        """Show which generation of *what* serves new connections."""
        self._on.generation.labels(what).set(n)

    def access_records_dropped(self, n: int) -> None:
        """Count access records that the reader of stdout never got."""
        self._on.access_records_dropped.inc(n)

    def build_info(self, version: str, python: str, openssl: str) -> None:
        """Show what is running."""
        self._on.build_info.labels(version, python, openssl).set(1)


def text_of(family: Metric) -> bytes:
    """One metric in the text format, of type `CONTENT_TYPE`."""
    return generate_latest(_OneFamily(family))


class _OneFamily:
    """One metric, in the shape of a registry."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> tuple[Metric, ...]:
        return (self._family,)


def _handshake_labels(
    direction: Direction, reason: Reason, resumed: bool
) -> tuple[str, ...]:
    result = _result(ok=reason == Reason.OK)
    return direction, result, reason, "true" if resumed else "false"


def _result(*, ok: bool) -> str:
    return "ok" if ok else "failed"
