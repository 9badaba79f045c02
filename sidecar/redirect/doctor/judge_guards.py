"""What the configuration believes it guards, and the options let by."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from sidecar.config.model import ORIGINAL, Endpoint, Mode, RouteMode
from sidecar.redirect.doctor.finding import Check, Finding, Level
from sidecar.redirect.doctor.sockets import LOOPBACK
from sidecar.redirect.model import Family, InboundMode, Ports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sidecar.config.model import Config, Listener, Route
    from sidecar.policy.model import Policy
    from sidecar.redirect.doctor.facts import Facts
    from sidecar.redirect.model import Network, Redirect

_problem = partial(Finding, Check.GUARD, Level.PROBLEM)
_note = partial(Finding, Check.GUARD, Level.NOTE)

_UNGUARDED: Final = "who calls it reaches the application without mTLS and policy"
_IN_PLAIN: Final = "what goes there goes in plain, past the route"


def judge_guards(facts: Facts) -> Iterator[Finding]:
    """Judge the options against the configuration, where one was named."""
    if facts.intent is None:
        yield Finding(
            Check.GUARD,
            Level.UNTESTED,
            "no configuration was named, so that what it guards is not known",
            remedy="name it: --config",
        )
        return
    config, redirect = facts.intent.config, facts.redirect
    found = [
        *_listeners(config, redirect, facts),
        *_transparency(config, redirect),
        *_inbound(config, facts.intent.policy, redirect),
        *_telemetry(config, redirect),
    ]
    for route in config.outbound.routes:
        if route.mode is RouteMode.MTLS:
            found += _route(route, facts)
    yield from found
    if not any(each.level is Level.PROBLEM for each in found):
        yield Finding(
            Check.GUARD,
            Level.OK,
            "every port and network that the configuration guards by name is captured",
        )


def _listeners(config: Config, redirect: Redirect, facts: Facts) -> Iterator[Finding]:
    for direction, listeners, port in (
        ("inbound", config.inbound.listeners, redirect.inbound_port),
        ("outbound", config.outbound.listeners, redirect.outbound_port),
    ):
        inbound = direction == "inbound"
        lacking = [
            family
            for family in facts.families
            if not any(_meets(each, family, port, inbound) for each in listeners)
        ]
        if not lacking:
            continue
        where = Endpoint("::" if inbound else LOOPBACK[lacking[0]], port)
        yield _problem(
            f"the rules lead to the {direction} port {port}, and no {direction}"
            f" listener with `destination: original` has it for"
            f" {' and '.join(lacking)}",
            why="what is captured is refused",
            remedy=f'add {{listen: "{where}", destination: original}}',
        )


def _transparency(config: Config, redirect: Redirect) -> Iterator[Finding]:
    """Both sides have to know of TPROXY."""
    tproxy = redirect.inbound_mode is InboundMode.TPROXY
    for each in config.inbound.listeners:
        ours = (
            each.destination == ORIGINAL and each.listen.port == redirect.inbound_port
        )
        if ours and each.transparent is not tproxy:
            has = "transparent: true" if each.transparent else "no `transparent: true`"
            yield _problem(
                f"--inbound-mode is {redirect.inbound_mode}, and the inbound listener"
                f" {each.listen} has {has}",
                why="what comes in does not find the sidecar, or not its destination",
                remedy=f"{'take it away' if each.transparent else 'set it'}, or apply"
                f" with --inbound-mode {'redirect' if tproxy else 'tproxy'}",
            )


def _meets(listener: Listener, family: Family, port: int, inbound: bool) -> bool:
    host, loopback = listener.listen.host, LOOPBACK[family]
    if listener.destination != ORIGINAL or listener.listen.port != port:
        return False
    if host == "::" or (host == "0.0.0.0" and family is Family.IPV4):  # noqa: S104
        return True
    same_family = (":" in host) is (family is Family.IPV6)
    return same_family and (host != loopback if inbound else host == loopback)


def _inbound(config: Config, policy: Policy, redirect: Redirect) -> Iterator[Finding]:
    named: dict[int, list[str]] = {}
    for port in config.inbound.ports:
        mode = config.inbound.mode_of(port)
        if mode is not Mode.DISABLED:
            named.setdefault(port, []).append(f"inbound.ports has it as {mode}")
    for rule in policy.rules:
        for port in rule.ports or ():
            named.setdefault(port, []).append(f"the policy rule {rule.name!r} names it")
    for port, sayings in sorted(named.items()):
        if option := _lets_in(redirect, port):
            yield _problem(
                f"{option} lets the inbound port {port} by, and {sayings[0]}",
                why=_UNGUARDED,
                remedy=f"take {port} out of {option}, or out of the configuration",
            )
    if excluded := redirect.exclude_inbound_ports:
        yield _note(f"no mTLS and no policy on the inbound ports {_all(excluded)}")


def _lets_in(redirect: Redirect, port: int) -> str | None:
    """Tell which option keeps what comes to *port* from the sidecar."""
    if _has(redirect.exclude_inbound_ports, port):
        return "--exclude-inbound-ports"
    if _has(redirect.health_ports, port):
        return "--health-ports"
    included = redirect.include_inbound_ports
    if included is not None and not _has(included, port):
        return "--include-inbound-ports"
    return None


def _telemetry(config: Config, redirect: Redirect) -> Iterator[Finding]:
    listen = config.telemetry
    if listen.host not in LOOPBACK.values() and not _lets_in(redirect, listen.port):
        yield _problem(
            f"--health-ports does not let by the telemetry port {listen.port}",
            why="probes and Prometheus speak no mTLS, and are refused",
            remedy=f"--health-ports {listen.port}",
        )


def _route(route: Route, facts: Facts) -> Iterator[Finding]:
    name, redirect = f"the mtls route {route.name!r}", facts.redirect
    for port in sorted(route.ports or ()):
        if option := _lets_out(redirect, port):
            yield _problem(
                f"{option} lets the outbound port {port} by, and {name} names it",
                why=_IN_PLAIN,
                remedy=f"take {port} out of {option}, or out of the route",
            )
    if route.ports is None and redirect.exclude_outbound_ports:
        ports = _all(redirect.exclude_outbound_ports)
        yield _note(f"{name} has every port, and {ports} go past it in plain")
    for to in route.to if _narrowed(redirect) else ():
        addresses = facts.addresses.get(to, ()) if isinstance(to, str) else ()
        if isinstance(to, str) and not addresses:
            yield _note(f"{name} names {to}, which could not be looked up")
        elif isinstance(to, str):
            for each in addresses:
                yield from _network(name, ip_network(each), f"{to} ({each})", redirect)
        else:
            yield from _network(name, to, str(to), redirect)


def _narrowed(redirect: Redirect) -> bool:
    return bool(redirect.exclude_outbound_cidrs or redirect.include_outbound_cidrs)


def names_of(config: Config, redirect: Redirect) -> tuple[str, ...]:
    """Give the host names of mtls routes, where the options tell networks apart."""
    return tuple(
        to
        for route in config.outbound.routes
        if route.mode is RouteMode.MTLS and _narrowed(redirect)
        for to in route.to
        if isinstance(to, str)
    )


def _network(
    name: str, network: Network, said: str, redirect: Redirect
) -> Iterator[Finding]:
    for each in redirect.exclude_outbound_cidrs:
        if _covers(each, network):
            yield _problem(
                f"--exclude-outbound-cidrs {each} lets by all of {said}, and {name}"
                " names it",
                why=_IN_PLAIN,
                remedy=f"take {each} out of --exclude-outbound-cidrs, or {said} out"
                " of the route",
            )
        elif _covers(network, each):
            yield _note(f"{name} has {said}, and {each} goes past it in plain")
    included = [
        each
        for each in redirect.include_outbound_cidrs or ()
        if each.version == network.version
    ]
    if included and not any(_covers(each, network) for each in included):
        yield _problem(
            f"--include-outbound-cidrs does not have all of {said}, and {name}"
            " names it",
            why=_IN_PLAIN,
            remedy=f"add {network} to --include-outbound-cidrs",
        )


def _lets_out(redirect: Redirect, port: int) -> str | None:
    if _has(redirect.exclude_outbound_ports, port):
        return "--exclude-outbound-ports"
    included = redirect.include_outbound_ports
    if included is not None and not _has(included, port):
        return "--include-outbound-ports"
    return None


def _has(ports: Iterable[Ports], port: int) -> bool:
    return any(each.covers(Ports(port, port)) for each in ports)


def _all(ports: Sequence[Ports]) -> str:
    return ", ".join(map(str, ports))


def _covers(outer: Network, inner: Network) -> bool:
    return (
        outer.version == inner.version
        and outer.prefixlen <= inner.prefixlen
        and inner.network_address in outer
    )
