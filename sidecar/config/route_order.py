"""Which routes are never taken, and which destinations never find one."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final, TypeAlias

from sidecar.config.model import Endpoint, OutboundDefault
from sidecar.config.place import Finding, Index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.config.model import Config, Route

Target: TypeAlias = IPv4Network | IPv6Network | str

_EVERYWHERE: Final = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


def hidden_routes(config: Config) -> Iterator[Finding]:
    """Find routes that an earlier one covers whole: the first match wins."""
    routes = config.outbound.routes
    earlier: dict[Target, list[int]] = defaultdict(list)
    for at, route in enumerate(routes):
        for before in _candidates(route.to[0], earlier):
            if _covers(routes[before], route):
                what = f"never taken: routes[{before}] has all of it and comes first"
                yield Finding(("outbound", "routes", Index(at)), what)
                break
        for target in route.to:
            earlier[target].append(at)


def _candidates(target: Target, earlier: dict[Target, list[int]]) -> list[int]:
    """The routes that name *target*, or a network that it is part of."""
    wider = _EVERYWHERE if isinstance(target, str) else _supernets(target)
    return sorted(at for each in (target, *wider) for at in earlier.get(each, ()))


def _supernets(network: IPv4Network | IPv6Network) -> Iterator[Target]:
    for length in range(network.prefixlen):
        yield network.supernet(new_prefix=length)


def _covers(route: Route, other: Route) -> bool:
    if route.ports is not None and not (
        other.ports is not None and other.ports <= route.ports
    ):
        return False
    return all(_names(route, target) for target in other.to)


def _names(route: Route, target: Target) -> bool:
    if isinstance(target, str):
        # A name may be resolved to any address of either family.
        return target in route.to or all(every in route.to for every in _EVERYWHERE)
    return any(_is_within(target, wider) for wider in route.to)


def _is_within(target: IPv4Network | IPv6Network, wider: Target) -> bool:
    if isinstance(target, IPv4Network):
        return isinstance(wider, IPv4Network) and target.subnet_of(wider)
    return isinstance(wider, IPv6Network) and target.subnet_of(wider)


def fixed_without_route(config: Config) -> Iterator[Finding]:
    """Find fixed destinations that no route can name, where none means refused."""
    outbound = config.outbound
    if outbound.default is not OutboundDefault.DENY:
        return
    for at, listener in enumerate(outbound.listeners):
        goal = listener.destination
        if not isinstance(goal, Endpoint):
            continue
        if not any(_may_match(route, goal) for route in outbound.routes):
            what = f"always refused: no route has {goal}, and outbound.default is deny"
            place = ("outbound", "listeners", Index(at), "destination")
            yield Finding(place, what)


def _may_match(route: Route, goal: Endpoint) -> bool:
    if route.ports is not None and goal.port not in route.ports:
        return False
    try:
        address = ip_network(ip_address(goal.host))
    except ValueError:
        # Names are resolved: the address of this one may be in any network.
        return any(to == goal.host or not isinstance(to, str) for to in route.to)
    return any(isinstance(to, str) or _is_within(address, to) for to in route.to)
