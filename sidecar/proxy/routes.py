"""The secure-naming table, ready for look-ups: which route leads to a destination."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.net.addr import address_of
from sidecar.policy.peer_index import PeerSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.config.model import Outbound, OutboundDefault, Route, RouteMode
    from sidecar.net.addr import Address

# Destinations are remembered by address and port, so that a long table costs a
# connection nothing. Full, or when a name has moved, the memory is emptied.
_REMEMBERED: Final = 4096


@frozen
class ResolvedRoute:
    """A route with its peers compiled."""

    name: str
    mode: RouteMode
    peers: PeerSet
    identity: str | None = None


class RouteTable:
    """Finds the first route that names a destination."""

    def __init__(
        self, outbound: Outbound, addresses_of: Callable[[str], tuple[str, ...]]
    ) -> None:
        """Match host names by what *addresses_of* says they are at the moment."""
        self.default: OutboundDefault = outbound.default
        self._routes = [
            (
                route,
                ResolvedRoute(
                    route.name, route.mode, PeerSet(route.peers), route.identity
                ),
            )
            for route in outbound.routes
        ]
        self._addresses_of = addresses_of
        self._found: dict[tuple[str, int], ResolvedRoute | None] = {}

    def find(
        self, host: str, addresses: tuple[str, ...], port: int
    ) -> ResolvedRoute | None:
        """Give the route to *host* (with these *addresses*) and *port*, or None."""
        key = host, port
        if key not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[key] = self._search(host, addresses, port)
        return self._found[key]

    def find_again(
        self, host: str, addresses: tuple[str, ...], port: int, formerly: str
    ) -> ResolvedRoute | None:
        """Find the route of a connection that was led by the one named *formerly*.

        A host name of that one may have had the connection's address then. That it
        has moved since is no reason to take the connection for somebody else's.
        """
        return self._search(host, addresses, port, formerly)

    def forget(self) -> None:
        """Search anew: a host name has other addresses now."""
        self._found.clear()

    def _search(
        self,
        host: str,
        addresses: tuple[str, ...],
        port: int,
        formerly: str | None = None,
    ) -> ResolvedRoute | None:
        for route, resolved in self._routes:
            if route.ports is not None and port not in route.ports:
                continue
            if route.name == formerly and any(isinstance(to, str) for to in route.to):
                return resolved
            if self._names(route, host, addresses):
                return resolved
        return None

    def _names(self, route: Route, host: str, addresses: tuple[str, ...]) -> bool:
        """Tell whether *route* leads to the host by name, or to all its addresses.

        To all: a name that resolves into two networks must not take the route of
        one of them to the other.
        """
        named = {to for to in route.to if isinstance(to, str)}
        if host in named:
            return True
        if not addresses:
            return False
        listed = {each for name in named for each in self._addresses_of(name)}
        networks = [to for to in route.to if not isinstance(to, str)]
        return all(
            each in listed or any(_address(each) in network for network in networks)
            for each in addresses
        )


def _address(host: str) -> Address:
    address = address_of(host)
    # A name may resolve into IPv4 seen through IPv6, and routes speak of IPv4.
    mapped: Address | None = getattr(address, "ipv4_mapped", None)
    return mapped or address
