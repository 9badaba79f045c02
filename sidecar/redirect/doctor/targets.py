"""Which addresses to call so that a connection must, or must not, be captured.

Nobody answers at the addresses that are set aside for documentation, so whoever does
is the sidecar. But a packet without a route never meets a rule, and the options may
capture only certain networks: what is called has to fit both.
"""

from __future__ import annotations

import ipaddress
import sys
from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.config.model import Endpoint
from sidecar.redirect.model import Family, Ports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sidecar.redirect.model import Network, Redirect

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_EVERYWHERE: Final[dict[Family, Network]] = {
    Family.IPV4: ipaddress.IPv4Network("0.0.0.0/0"),
    Family.IPV6: ipaddress.IPv6Network("::/0"),
}
_DOCUMENTATION: Final[dict[Family, tuple[Network, ...]]] = {
    Family.IPV4: tuple(  # RFC 5737
        map(
            ipaddress.IPv4Network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
        )
    ),
    Family.IPV6: (  # RFC 3849, RFC 9637
        ipaddress.IPv6Network("2001:db8::/32"),
        ipaddress.IPv6Network("3fff::/20"),
    ),
}
_ALL_PORTS: Final = (Ports(1, 65535),)
_DISCARD: Final = 9
_FEWEST: Final = 8
"""Of a smaller network every address is somebody's."""
_RTF_UP, _RTF_REJECT = 0x1, 0x200  # linux/route.h


@frozen
class Route:
    """A line of the routing table."""

    to: Network
    interface: str


def parse_ipv4_routes(text: str) -> Iterator[Route]:
    """Read ``/proc/net/route``; lines that it does not know say nothing."""
    for line in text.split("\n"):
        words = line.split()
        try:
            flags = int(words[3], 16)
            net, mask = (
                int.from_bytes(bytes.fromhex(words[at]), sys.byteorder) for at in (1, 7)
            )
            network = ipaddress.IPv4Network((net, mask.bit_count()))
        except (IndexError, ValueError):
            continue
        if flags & _RTF_UP and not flags & _RTF_REJECT:
            yield Route(network, words[0])


def parse_ipv6_routes(text: str) -> Iterator[Route]:
    """Read ``/proc/net/ipv6_route``; lines that it does not know say nothing.

    It has all tables in one: a default by lo is that of our own table, for marked
    packets alone (`sidecar.redirect.routing`).
    """
    for line in text.split("\n"):
        words = line.split()
        try:
            flags = int(words[8], 16)
            to = bytes.fromhex(words[0]), int(words[1], 16)
            route = Route(ipaddress.IPv6Network(to), words[9])
        except (IndexError, ValueError):
            continue
        marked_only = route.interface == "lo" and not route.to.prefixlen
        if flags & _RTF_UP and not flags & _RTF_REJECT and not marked_only:
            yield route


@frozen
class Unreachable:
    """There is nothing to call, and why.

    Attributes:
        by_nobody: Not by an application either: the pod has no way to anywhere.
    """

    why: str
    by_nobody: bool = False


def captured(
    redirect: Redirect, family: Family, routes: Sequence[Route], fresh: int = 0
) -> Endpoint | Unreachable:
    """Choose what must go to the sidecar, and where nobody is.

    Any number does for *fresh*; with another it is another address, where nobody's are
    enough. The kernel remembers for minutes what it did with a connection, and does the
    same with one of the same ends, whatever the rules say by then.
    """
    port = captured_port(redirect)
    if port is None:
        return Unreachable("the options exclude every port")
    included = [
        each
        for each in redirect.include_outbound_cidrs or ()
        if each.version == family.version
    ]
    excluded = redirect.exclude_outbound_cidrs
    seen = False
    for network in _places(family, included, routes):
        low = network in _DOCUMENTATION[family]
        host = _free(network, excluded, fresh if low else None)
        if host is None:
            continue
        seen = True
        if _leads_out(redirect, routes, host):
            return Endpoint(str(host), port)
    if not any(_leads_somewhere(each, family) for each in routes):
        return Unreachable("no route leads further than its link", by_nobody=True)
    if seen:
        return Unreachable("no route leads out of the pod by an interface that counts")
    return Unreachable("the options exclude every network")


def let_by(
    redirect: Redirect, family: Family, routes: Sequence[Route], fresh: int = 0
) -> Iterator[Endpoint]:
    """Choose what must go past the sidecar: at most one network, and one port.

    With *fresh* it is as for `captured`.
    """
    port = captured_port(redirect) or _DISCARD
    for network in redirect.exclude_outbound_cidrs:
        host = network[min(1, network.num_addresses - 1)]
        if network.version == family.version and _routed(routes, host):
            yield Endpoint(str(host), port)
            break
    for network in _DOCUMENTATION[family]:
        host = _one_of(network, fresh)
        if redirect.exclude_outbound_ports and _routed(routes, host):
            yield Endpoint(str(host), redirect.exclude_outbound_ports[0].first)
            break


def captured_port(redirect: Redirect) -> int | None:
    """Choose a port that is captured when it leaves the pod; None: there is none."""
    included = redirect.include_outbound_ports or _ALL_PORTS
    for ports in (Ports(_DISCARD, _DISCARD), *included):
        if not any(each.covers(Ports(ports.first, ports.first)) for each in included):
            continue
        port = ports.first
        for each in redirect.exclude_outbound_ports:  # sorted
            if each.first <= port <= each.last:
                port = each.last + 1
        if port <= ports.last:
            return port
    return None


def _places(
    family: Family, included: Sequence[Network], routes: Sequence[Route]
) -> Iterator[Network]:
    """Give networks to choose from: those of nobody first."""
    near = [
        each.to
        for each in routes
        if each.to.version == family.version
        and each.to.prefixlen
        and each.to.num_addresses >= _FEWEST
        and not each.to.is_link_local
        and not each.to.is_multicast
    ]
    for network in (*_DOCUMENTATION[family], *included, *near):
        if any(_within(network, each) for each in included or [_EVERYWHERE[family]]):
            yield network


def _free(
    network: Network, excluded: Iterable[Network], fresh: int | None
) -> Address | None:
    """Find an address of *network* that is in none of *excluded*.

    Where the network may be somebody's, and so without *fresh*, it is the last but one:
    the first ones are those of gateways.
    """
    others = [each for each in excluded if each.version == network.version]
    if fresh is not None:
        host = _one_of(network, fresh)
        if not any(host in each for each in others):
            return host
    at = int(network[-1]) - (1 if network.num_addresses > 2 else 0)
    for each in sorted(others, key=lambda each: int(each[-1]), reverse=True):
        if int(each[0]) <= at <= int(each[-1]):
            at = int(each[0]) - 1
    return type(network[0])(at) if at >= int(network[0]) else None


def _one_of(network: Network, fresh: int) -> Address:
    """Give the first address of a network, or one *fresh* behind it; not the last."""
    return network[1 + fresh % (network.num_addresses - 2)]


def _leads_somewhere(route: Route, family: Family) -> bool:
    return (
        route.to.version == family.version
        and route.interface != "lo"
        and not route.to.is_link_local
        and not route.to.is_multicast
    )


def _leads_out(redirect: Redirect, routes: Sequence[Route], host: Address) -> bool:
    interface = interface_of(routes, host)
    return interface is not None and interface not in redirect.exclude_interfaces


def _routed(routes: Sequence[Route], host: Address) -> bool:
    return interface_of(routes, host) is not None


def interface_of(routes: Sequence[Route], host: Address) -> str | None:
    """Tell by which interface *host* is reached; None: by none but loopback."""
    fitting = [
        each for each in routes if each.to.version == host.version and host in each.to
    ]
    best = max(fitting, key=lambda each: each.to.prefixlen, default=None)
    return best.interface if best is not None and best.interface != "lo" else None


def _within(inner: Network, outer: Network) -> bool:
    return (
        inner.version == outer.version
        and inner.network_address in outer
        and inner.prefixlen >= outer.prefixlen
    )
