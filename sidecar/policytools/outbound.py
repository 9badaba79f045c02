"""Which way a connection of the application would take, and whom it expects there.

The plan is that of the data path. What the routes say beside it explains it: each is
asked as the only one of a table of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

from attrs import evolve, frozen

from sidecar.config.address import parse_address
from sidecar.config.model import ORIGINAL, Endpoint, Outbound
from sidecar.policy.model import Action, Rule
from sidecar.policy.near_words import some
from sidecar.policy.peer_index import PeerSet
from sidecar.policytools.entry import Refused, named_by
from sidecar.policytools.statement import statement_of
from sidecar.proxy.plan import Originate, OwnEndpoints, Reject, plan_outbound
from sidecar.proxy.routes import RouteTable
from sidecar.telemetry.labels import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sidecar.config.model import Config, Route
    from sidecar.policytools.entry import Call
    from sidecar.proxy.plan import PassThrough

Names: TypeAlias = Mapping[str, tuple[str, ...]]
"""The addresses of host names, as far as somebody has said them."""

_LISTED: Final = 5

# Loops are a matter of this machine's addresses, and it is not the one that is meant.
_NOWHERE: Final = OwnEndpoints((), lambda _host: False)


class RouteEffect(StrEnum):
    """What a route has to do with a connection."""

    TAKEN = "taken"
    LATER = "later"
    """It leads there, too, after the one that is taken."""
    MISSES = "misses"


@frozen
class RouteSaid:
    """What one route says.

    Attributes:
        number: Its place in the file, from 0.
        effect: What has come of it.
        misses: What of it does not match, by its key.
    """

    number: int
    effect: RouteEffect
    misses: Mapping[str, str]


@frozen
class Way:
    """Which way a connection takes.

    Attributes:
        destination: As the sidecar sees it: an address, where it was redirected.
        plan: What becomes of it.
        route: The number of the route that is taken; None if there is none.
        refused: Why the server that was asked about is not taken; None if it is, or
            nobody is checked.
        routes: What every route says.
        notes: What deserves a word.
    """

    destination: Endpoint
    plan: Originate | PassThrough | Reject
    route: int | None
    refused: Refused | None
    routes: tuple[RouteSaid, ...]
    notes: tuple[str, ...]

    @property
    def allowed(self) -> bool:
        """Whether the destination is reached."""
        return not isinstance(self.plan, Reject) and self.refused is None


def ways_to(
    config: Config, to: Endpoint, names: Names, server: Call | None = None
) -> list[Way]:
    """Say which way a connection takes: one, or one for each address of a name.

    Args:
        config: Has the routes.
        to: As the application calls it.
        names: Addresses of host names: of this one, and of those in routes.
        server: Who answers there; None if that is not asked.
    """
    seen = _destinations(config.outbound, to, names)
    return [_way(config, each, names, server) for each in seen]


def _destinations(outbound: Outbound, to: Endpoint, names: Names) -> list[Endpoint]:
    fixed = any(each.destination == to for each in outbound.listeners)
    addresses = names.get(to.host, ())
    if fixed or not addresses:
        return [to]
    # What is redirected comes with the address that the application has looked up.
    return [Endpoint(address, to.port) for address in addresses]


def _way(config: Config, to: Endpoint, names: Names, server: Call | None) -> Way:
    outbound = config.outbound
    plan = plan_outbound(
        RouteTable(outbound, _lookup(names)), to, _addresses(to, names), _NOWHERE
    )
    numbers = {route.name: at for at, route in enumerate(outbound.routes)}
    taken = None if plan.rule is None else numbers[plan.rule]
    said = tuple(
        _said(route, at, taken, to, names) for at, route in enumerate(outbound.routes)
    )
    refused = None
    if server is not None and isinstance(plan, Originate):
        refused = _refused(config, outbound.routes[numbers[plan.rule]], server)
    notes = (
        *(server.notes if server is not None else ()),
        *_on_listeners(outbound, to),
        *_on_names(outbound.routes[:taken], to, names),
    )
    return Way(to, plan, taken, refused, said, notes)


def _lookup(names: Names) -> Callable[[str], tuple[str, ...]]:
    return lambda name: names.get(name, ())


def _addresses(to: Endpoint, names: Names) -> tuple[str, ...]:
    return (to.host,) if is_address(to.host) else names.get(to.host, ())


def _said(
    route: Route, number: int, taken: int | None, to: Endpoint, names: Names
) -> RouteSaid:
    misses: dict[str, str] = {}
    if not _leads(evolve(route, ports=None), to, names):
        misses["to"] = f"{_few(route.to)}, not {to.host}"
    if not _leads(evolve(route, to=(to.host,)), to, names):
        misses["ports"] = f"{some('port', route.ports or ())}, not {to.port}"
    if misses:
        return RouteSaid(number, RouteEffect.MISSES, misses)
    effect = RouteEffect.TAKEN if number == taken else RouteEffect.LATER
    return RouteSaid(number, effect, misses)


def _leads(route: Route, to: Endpoint, names: Names) -> bool:
    table = RouteTable(Outbound(routes=(route,)), _lookup(names))
    return table.find(to.host, _addresses(to, names), to.port) is not None


def _refused(config: Config, route: Route, server: Call) -> Refused | None:
    """Say why a server is not taken, as the verifier and the route would."""
    if server.refused is not None:
        return server.refused
    if server.peer is None:
        return Refused(Reason.NO_CERTIFICATE, "the server shows no certificate")
    peer = server.peer if server.verified else named_by(config.identity, server.peer)
    if isinstance(peer, Refused):
        return peer
    if PeerSet(route.peers).matches(peer):
        return None
    one = (Rule(route.name, Action.ALLOW, route.peers),)
    why = statement_of(one, 0, peer, 0, None).misses[0].what
    detail = f"{peer} is not one of the route's peers: it {why}"
    return Refused(Reason.UNEXPECTED_PEER, detail)


def _on_listeners(outbound: Outbound, to: Endpoint) -> Iterator[str]:
    goals = [each.destination for each in outbound.listeners]
    if not goals:
        yield "outbound has no listeners: no connection of the application comes here"
    elif ORIGINAL not in goals and to not in goals:
        yield f"no listener leads to {to}, only to {_few(goals)}"


def _on_names(earlier: Sequence[Route], to: Endpoint, names: Names) -> Iterator[str]:
    """Find what depends on addresses that nobody has said."""
    at_port = [each for each in earlier if each.ports is None or to.port in each.ports]
    targets = [target for each in at_port for target in each.to]
    if is_address(to.host):
        unknown = dict.fromkeys(
            target
            for target in targets
            if isinstance(target, str) and target not in names
        )
        if unknown:
            what = f"this holds if {to.host} is no address of {_few([*unknown])}"
            yield f"{what} (say what is: --resolve {next(iter(unknown))}=ADDRESS)"
    elif to.host not in names and any(not isinstance(each, str) for each in targets):
        what = f"this holds if no network of an earlier route has {to.host}"
        yield f"{what} (say where it is: --resolve {to.host}=ADDRESS)"


def is_address(host: str) -> bool:
    """Tell an IP address from a host name; *host* is sound, and either of them."""
    return parse_address(host) is not None


def _few(things: Sequence[object]) -> str:
    names = ", ".join(map(str, things[:_LISTED]))
    more = len(things) - _LISTED
    return f"{names} and {more} more" if more > 0 else names
