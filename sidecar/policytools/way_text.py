"""Which way a connection takes, as people and programs read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, assert_never

from sidecar.policytools.outbound import RouteEffect
from sidecar.policytools.rulebook import Location
from sidecar.proxy.plan import Originate, PassThrough, Reject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.config.model import Config, Route
    from sidecar.identity.peer import Peer
    from sidecar.policytools.outbound import RouteSaid, Way
    from sidecar.policytools.rulebook import Rulebook

SHOWN: Final = 10
_EFFECTS: Final = {
    RouteEffect.TAKEN: "is taken",
    RouteEffect.LATER: "leads there, after the one that is taken",
    RouteEffect.MISSES: "does not match",
}


def way_lines(
    book: Rulebook,
    config: Config,
    way: Way,
    server: Peer | None,
    *,
    most: int | None = SHOWN,
) -> Iterator[str]:
    """Write which way a connection takes.

    Args:
        book: Knows where routes stand.
        config: Has them.
        way: Which one is taken.
        server: Who was said to answer; None if nobody has said it.
        most: How many routes to show, the nearest; None for all of them.
    """
    yield headline(book, config, way)
    for label, text in _facts(config, way, server):
        yield f"  {label:<9} {text}"
    shown = way.routes if most is None else _nearest(way, most)
    if shown:
        yield "routes"
    for said in shown:
        route = config.outbound.routes[said.number]
        what = f"{route.mode} {route.name}: {_EFFECTS[said.effect]}"
        yield f"  {book.route_place(said.number)}: {what}"
        for key, miss in said.misses.items():
            yield f"      {key}: {miss}"
    if left_out := len(way.routes) - len(shown):
        yield f"  and {left_out:,} more"


def headline(book: Rulebook, config: Config, way: Way) -> str:
    """Say in one line what becomes of it."""
    by = "by default"
    if way.route is not None:
        name = config.outbound.routes[way.route].name
        by = f"by route '{name}' ({book.route_place(way.route)})"
    match plan := way.plan:
        case Reject():
            return f"denied {by}: {plan.detail}"
        case PassThrough():
            return f"in plaintext {by}"
        case Originate() if way.refused is None:
            return f"mutual TLS {by}"
        case Originate():
            refused = f"{way.refused.reason}): {way.refused.detail}"
            return f"mutual TLS {by}, and denied in the handshake ({refused}"
        case _:
            assert_never(plan)


def _facts(config: Config, way: Way, server: Peer | None) -> Iterator[tuple[str, str]]:
    yield "to", str(way.destination)
    if isinstance(way.plan, Originate) and way.route is not None:
        expected = config.outbound.routes[way.route].peers
        for at, peer in enumerate(expected[:SHOWN]):
            yield "or" if at else "expects", str(peer)
        if len(expected) > SHOWN:
            yield "or", f"{len(expected) - SHOWN} more"
        if way.plan.identity is not None:
            yield "shows", f"the identity '{way.plan.identity}'"
        if way.plan.server_name is not None:
            yield "SNI", way.plan.server_name
    if server is not None:
        checked = isinstance(way.plan, Originate)
        fate = "is not checked: nobody is" if not checked else "is expected"
        yield "server", f"{server} {'is refused' if way.refused else fate}"
    for note in way.notes:
        yield "note", note


def _nearest(way: Way, most: int) -> list[RouteSaid]:
    rank = {RouteEffect.TAKEN: 0, RouteEffect.LATER: 2, RouteEffect.MISSES: 1}
    found = sorted(way.routes, key=lambda s: (rank[s.effect], len(s.misses)))
    return sorted(found[:most], key=lambda said: said.number)


def way_value(
    book: Rulebook, config: Config, way: Way, server: Peer | None
) -> dict[str, Any]:
    """Give which way a connection takes as a value that JSON can carry."""
    plan = way.plan
    route = None if way.route is None else config.outbound.routes[way.route]
    modes = {Originate: "mtls", PassThrough: "plaintext", Reject: "deny"}
    refused = way.refused
    return {
        "direction": "outbound",
        "decided_by": book.source,
        "to": str(way.destination),
        "allowed": way.allowed,
        "mode": modes[type(plan)],
        "outcome": str(plan.outcome) if isinstance(plan, Reject) else None,
        "detail": plan.detail if isinstance(plan, Reject) else None,
        "route": route and route.name,
        **_location(book, way.route).value,
        "peers": [] if route is None else [str(peer) for peer in route.peers],
        "identity": plan.identity if isinstance(plan, Originate) else None,
        "server_name": plan.server_name if isinstance(plan, Originate) else None,
        "server": None if server is None else str(server),
        "handshake": refused
        and {"reason": str(refused.reason), "detail": refused.detail},
        "routes": [_route_value(book, config.outbound.routes, s) for s in way.routes],
        "notes": list(way.notes),
    }


def _location(book: Rulebook, route: int | None) -> Location:
    return Location("") if route is None else book.route_at(route)


def _route_value(
    book: Rulebook, routes: tuple[Route, ...], said: RouteSaid
) -> dict[str, Any]:
    route = routes[said.number]
    return {
        "name": route.name,
        "mode": str(route.mode),
        **book.route_at(said.number).value,
        "effect": str(said.effect),
        "misses": dict(said.misses),
    }
