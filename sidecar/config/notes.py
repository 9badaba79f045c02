"""What deserves a word though nothing is wrong: it has no effect, or a surprising one."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from sidecar.config.listening import is_local
from sidecar.config.model import ORIGINAL, Endpoint, Mode, NameKind, ProxyProtocol
from sidecar.config.place import Finding, Index, Place, written
from sidecar.config.route_order import fixed_without_route, hidden_routes
from sidecar.policy.pattern import SpiffePattern, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.config.model import Config
    from sidecar.policy.model import Policy


def notes_on_config(config: Config) -> Iterator[Finding]:
    """Find what is legal in `sidecar.yaml` and probably not meant."""
    for notes in (
        _on_bundles,
        _on_identities,
        _on_inbound,
        _on_ports,
        _on_headers,
        _on_transparent,
        _on_outbound,
        hidden_routes,
        fixed_without_route,
        _on_admin,
    ):
        yield from notes(config)


def _on_bundles(config: Config) -> Iterator[Finding]:
    identity = config.identity
    if identity.trust_bundles and NameKind.SPIFFE not in identity.accept:
        what = "no effect: identity.accept does not have 'spiffe'"
        yield Finding(("identity", "trust_bundles"), what)


def _on_identities(config: Config) -> Iterator[Finding]:
    used = {route.identity for route in config.outbound.routes}
    for port, settings in config.inbound.ports.items():
        used.add(settings.identity)
        if settings.identity and config.inbound.mode_of(port) is Mode.DISABLED:
            what = "no effect: the port has no TLS"
            yield Finding(("inbound", "ports", port, "identity"), what)
    for name in config.identity.additional:
        if name not in used:
            what = "no effect: no port and no route names it"
            yield Finding(("identity", "additional", name), what)


def _on_inbound(config: Config) -> Iterator[Finding]:
    inbound = config.inbound
    if inbound.listeners:
        return
    if inbound.ports or inbound.mode is not Mode.STRICT:
        yield Finding(("inbound",), "no effect: it has no listeners")
    if config.policy is not None:
        what = "no effect: it is asked about inbound connections, and none come in"
        yield Finding(("policy",), what)


def _on_ports(config: Config) -> Iterator[Finding]:
    """Ports are those of destinations, and are easily taken for those of listeners."""
    goals = [listener.destination for listener in config.inbound.listeners]
    reached = {goal.port for goal in goals if isinstance(goal, Endpoint)}
    if ORIGINAL in goals:  # the kernel may say any port
        return
    for port in config.inbound.ports:
        if goals and port not in reached:
            ports = ", ".join(map(str, sorted(reached)))
            what = f"no effect: no listener has this destination port, only {ports}"
            yield Finding(("inbound", "ports", port), what)


def _on_headers(config: Config) -> Iterator[Finding]:
    inbound = config.inbound
    for port, settings in inbound.ports.items():
        told, mode = settings.proxy_protocol, inbound.mode_of(port)
        if told is ProxyProtocol.TLS and mode is Mode.DISABLED:
            what = "the same as 'addresses': a port in mode 'disabled' has no TLS"
            yield Finding(("inbound", "ports", port, "proxy_protocol"), what)


def _on_transparent(config: Config) -> Iterator[Finding]:
    for at, listener in enumerate(config.inbound.listeners):
        host = listener.listen.host
        if listener.transparent and not ip_address(host).is_unspecified:
            place = ("inbound", "listeners", Index(at), "listen")
            what = f"TPROXY is sure to find a listener at '[::]' only, got '{host}'"
            yield Finding(place, what)


def _on_outbound(config: Config) -> Iterator[Finding]:
    if config.outbound.routes and not config.outbound.listeners:
        yield Finding(("outbound",), "no effect: it has no listeners")


def _on_admin(config: Config) -> Iterator[Finding]:
    if isinstance(config.admin, Endpoint) and not is_local(config.admin.host):
        what = (
            f"{config.admin} is reachable from other machines, and whoever reaches it "
            "may change state"
        )
        yield Finding(("admin", "listen"), what)


def notes_on_policy(config: Config, policy: Policy) -> Iterator[Finding]:
    """Find what is legal in `policy.yaml` and probably not meant."""
    yield from _on_trust_domains(config, policy)
    yield from _on_unauthenticated(config, policy)


def _on_trust_domains(config: Config, policy: Policy) -> Iterator[Finding]:
    if not config.identity.from_files:
        return  # which bundles it brings is not known here
    unknown: dict[str, list[Place]] = {}
    for rule_at, rule in enumerate(policy.rules):
        for at, peer in enumerate(rule.peers):
            if (
                isinstance(peer, SpiffePattern)
                and peer.trust_domain not in config.identity.trust_bundles
            ):
                place = ("rules", Index(rule_at), "peers", Index(at))
                unknown.setdefault(peer.trust_domain, []).append(place)
    for trust_domain, places in unknown.items():
        what = f"matches nobody: trust domain '{trust_domain}' has no bundle"
        yield Finding(places[0], what + _and_more(places))


def _on_unauthenticated(config: Config, policy: Policy) -> Iterator[Finding]:
    inbound = config.inbound
    modes = {inbound.mode, *map(inbound.mode_of, inbound.ports)}
    if modes != {Mode.STRICT}:
        return
    places: list[Place] = [
        ("rules", Index(rule_at), "peers", Index(at))
        for rule_at, rule in enumerate(policy.rules)
        for at, peer in enumerate(rule.peers)
        if isinstance(peer, Unauthenticated)
    ]
    if places:
        what = "matches nobody: every inbound port is strict"
        yield Finding(places[0], what + _and_more(places))


def _and_more(places: list[Place]) -> str:
    # One note for all of them: a policy may have a hundred thousand.
    if len(places) == 1:
        return ""
    return f" (and {len(places) - 1} more, the next at {written(places[1])})"
