"""What is to be done with a connection, decided from facts alone."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, assert_never

from attrs import frozen

from sidecar.config.model import (
    MissingCertificate,
    Mode,
    OutboundDefault,
    RouteMode,
)
from sidecar.telemetry.labels import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.config.model import Endpoint, Inbound
    from sidecar.policy.peer_index import PeerSet
    from sidecar.proxy.routes import RouteTable


@frozen
class Terminate:
    """Answer with TLS and learn who the peer is."""

    certificate_required: bool
    """False: one who has none is told so in HTTP."""
    identity: str | None = None
    """Which of ours is shown; None for the first."""


@frozen
class Detect:
    """Look at the first bytes: TLS that means us is terminated, all else passed on."""

    terminate: Terminate


@frozen
class PassThrough:
    """Relay as it comes."""

    rule: str | None = None


@frozen
class Originate:
    """Speak TLS to the destination, and expect one of the route's peers."""

    rule: str
    peers: PeerSet
    server_name: str | None
    identity: str | None = None
    """Which of ours is shown; None for the first."""


@frozen
class Reject:
    """Turn it away."""

    outcome: Outcome
    detail: str
    rule: str | None = None


class OwnEndpoints:
    """The addresses that this process listens on.

    *is_local* says whether a host is an address of this network namespace; it is
    asked only about ports that a wildcard listener has.
    """

    def __init__(
        self, endpoints: tuple[Endpoint, ...], is_local: Callable[[str], bool]
    ) -> None:
        self._is_local = is_local
        self._exact = frozenset((each.host, each.port) for each in endpoints)
        self._wildcard = frozenset(
            each.port
            for each in endpoints
            if ipaddress.ip_address(each.host).is_unspecified
        )

    def cover(self, host: str, port: int) -> bool:
        """Tell whether a connection to there would come back to us."""
        return (host, port) in self._exact or (
            port in self._wildcard and self._is_local(host)
        )


_LOOP: Final = "the destination is one of our own listeners"


def plan_inbound(
    inbound: Inbound,
    destination: Endpoint,
    addresses: tuple[str, ...],
    own: OwnEndpoints,
) -> Terminate | Detect | PassThrough | Reject:
    """Plan a connection meant for the application's *destination*.

    *addresses* are those of its host.
    """
    if any(own.cover(each, destination.port) for each in addresses):
        return Reject(Outcome.LOOP, _LOOP)
    port = destination.port
    terminate = Terminate(
        inbound.missing_certificate(port) is MissingCertificate.ALERT,
        inbound.identity_of(port),
    )
    match mode := inbound.mode_of(port):
        case Mode.STRICT:
            return terminate
        case Mode.PERMISSIVE:
            return Detect(terminate)
        case Mode.DISABLED:
            return PassThrough()
        case _:
            assert_never(mode)


def plan_outbound(
    routes: RouteTable,
    destination: Endpoint,
    addresses: tuple[str, ...],
    own: OwnEndpoints,
    formerly: str | None = None,
) -> Originate | PassThrough | Reject:
    """Plan a connection of the application to *destination*.

    *addresses* are those of its host. One that is there already was led by the route
    *formerly*.
    """
    if any(own.cover(each, destination.port) for each in addresses):
        return Reject(Outcome.LOOP, _LOOP)
    route = routes.find(destination.host, addresses, destination.port)
    if formerly is not None and (route is None or route.name != formerly):
        route = routes.find_again(
            destination.host, addresses, destination.port, formerly
        )
    if route is None:
        if routes.default is OutboundDefault.PLAINTEXT:
            return PassThrough()
        return Reject(
            Outcome.NO_ROUTE,
            f"no route leads to {destination}, and the default is deny",
        )
    match route.mode:
        case RouteMode.MTLS:
            name = None if destination.host in addresses else destination.host
            return Originate(route.name, route.peers, name, route.identity)
        case RouteMode.PLAINTEXT:
            return PassThrough(route.name)
        case RouteMode.DENY:
            detail = f"the route {route.name!r} denies {destination}"
            return Reject(Outcome.DENIED, detail, route.name)
        case _:
            assert_never(route.mode)
