"""What the sections of `sidecar.yaml` must agree on with one another.

Each rule says which sections it looks at, so that it is asked even when others are
broken: a reader gets to know all that can be known at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

from sidecar.config.identity_rules import (
    check_additional,
    check_inbound_identities,
    check_outbound_identities,
    check_source,
)
from sidecar.config.listening import check_listeners, check_loops
from sidecar.config.model import ORIGINAL, NameKind
from sidecar.config.place import Finding, Index, Place
from sidecar.policy.pattern import (
    DnsPattern,
    PeerPattern,
    SpiffePattern,
    SubjectPattern,
)

if TYPE_CHECKING:
    from sidecar.config.model import Config

ConfigRule: TypeAlias = Callable[["Config"], Iterator[Finding]]


def broken_rules(config: Config, unreadable: frozenset[str]) -> Iterator[Finding]:
    """Find what the sections of *config* do not agree on.

    Args:
        config: Its unreadable sections have their defaults.
        unreadable: The names of the sections that nothing can be said about.
    """
    for sections, rule in _RULES:
        if not unreadable.intersection(sections):
            yield from rule(config)


def _check_entrances(config: Config) -> Iterator[Finding]:
    if not config.inbound.listeners and not config.outbound.listeners:
        what = "missing: at least one listener is needed, here or in outbound"
        yield Finding(("inbound", "listeners"), what)


def _check_transparent(config: Config) -> Iterator[Finding]:
    for at, listener in enumerate(config.inbound.listeners):
        if listener.transparent and listener.destination != ORIGINAL:
            place = ("inbound", "listeners", Index(at), "transparent")
            what = "TPROXY keeps the destination: write destination: 'original'"
            yield Finding(place, f"{what}, got '{listener.destination}'")
    for at, listener in enumerate(config.outbound.listeners):
        if listener.transparent:
            place = ("outbound", "listeners", Index(at), "transparent")
            yield Finding(place, "only the application has callers to show (remove it)")


def _check_policy(config: Config) -> Iterator[Finding]:
    if config.inbound.listeners and config.policy is None:
        what = (
            "missing: without one nothing is let in (name a file; 'default: audit' in "
            "it lets all pass and records what 'deny' would refuse)"
        )
        yield Finding(("policy",), what)


def _check_peers(config: Config) -> Iterator[Finding]:
    for place, peer in _peers(config):
        if what := unknown_kind(peer, config.identity.accept):
            yield Finding(place, what)


def _check_trust_domains(config: Config) -> Iterator[Finding]:
    if not config.identity.from_files:
        return
    if NameKind.SPIFFE not in config.identity.accept:
        return  # said by the rule above
    for place, peer in _peers(config):
        if (
            isinstance(peer, SpiffePattern)
            and peer.trust_domain not in config.identity.trust_bundles
        ):
            what = f"no bundle of trust domain '{peer.trust_domain}', got '{peer}'"
            yield Finding(place, f"{what} (name it in identity.trust_bundles)")


def _peers(config: Config) -> Iterator[tuple[Place, PeerPattern]]:
    for route_at, route in enumerate(config.outbound.routes):
        for at, peer in enumerate(route.peers):
            yield ("outbound", "routes", Index(route_at), "peers", Index(at)), peer


def unknown_kind(peer: PeerPattern, accept: frozenset[NameKind]) -> str | None:
    """Say why nobody can be *peer* when only *accept* counts; None if somebody can."""
    kind = _KINDS.get(type(peer))
    if kind is None or kind in accept:
        return None
    return f"identity.accept does not have '{kind}', got '{peer}'"


_KINDS: Final[dict[type, NameKind]] = {
    SpiffePattern: NameKind.SPIFFE,
    DnsPattern: NameKind.DNS,
    SubjectPattern: NameKind.SUBJECT,
}

_RULES: Final[tuple[tuple[tuple[str, ...], ConfigRule], ...]] = (
    (("identity",), check_source),
    (("identity",), check_additional),
    (("identity", "inbound"), check_inbound_identities),
    (("identity", "outbound"), check_outbound_identities),
    (("inbound", "outbound"), _check_entrances),
    (("inbound", "outbound"), _check_transparent),
    (("inbound", "policy"), _check_policy),
    (("inbound", "outbound", "admin", "telemetry"), check_listeners),
    (("inbound", "outbound", "admin", "telemetry"), check_loops),
    (("outbound", "identity"), _check_peers),
    (("outbound", "identity"), _check_trust_domains),
)
