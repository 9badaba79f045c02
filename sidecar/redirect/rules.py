"""The rules of both directions, in order, as values.

Only the first packet of a connection meets the nat table, and only TCP is sent here.
The first rule that fits decides: RETURN leaves the connection as it is.
"""

from __future__ import annotations

from enum import Enum, auto
from ipaddress import IPv4Network, IPv6Network
from itertools import product
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from sidecar.redirect.model import Family

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sidecar.redirect.model import Network, Ports, Redirect

_MULTIPORT: Final = 15
"""How many ports one multiport match takes; a range counts as two
(XT_MULTI_PORTS in linux/netfilter/xt_multiport.h)."""
_LOOPBACK: Final[dict[Family, Network]] = {
    Family.IPV4: IPv4Network("127.0.0.0/8"),
    Family.IPV6: IPv6Network("::1/128"),
}


class Handling(Enum):
    """What becomes of a packet that a rule fits."""

    PASS = auto()
    """It goes on as it is, and no later rule is asked."""
    REDIRECT = auto()
    """It goes to a port of this pod, whatever its destination."""
    TPROXY = auto()
    """It goes to who listens on a port, with the destination that it has."""
    DROP = auto()
    MARK_CONNECTION = auto()
    """Its connection is one whose answers stay in the pod."""
    MARK_ANSWER = auto()
    """It is such an answer."""


@frozen
class Rule:
    """One rule. What is None or empty is not asked about.

    Attributes:
        why: What it is for: ``sidecar/WHY`` is its comment in the kernel.
        to_port: Where the connection is turned to; None lets it pass by.
        handling: What becomes of it; by default that which *to_port* says.
        elsewhere: Fits only what goes to no address of this pod.
        foreign: Fits only what comes from no address of this pod.
        answer: Fits only packets against the direction of their connection.
        on_another: Fits only the first packet of a connection whose addresses and
            ports are those of one that is there.
        marked: Fits only connections with our mark.
    """

    why: str
    to_port: int | None = None
    handling: Handling = field()
    destination: Network | None = None
    elsewhere: bool = False
    in_interface: str | None = None
    out_interface: str | None = None
    uid: int | None = None
    gid: int | None = None
    ports: tuple[Ports, ...] = ()
    foreign: bool = False
    answer: bool = False
    on_another: bool = False
    marked: bool = False

    @handling.default
    def _by_port(self) -> Handling:
        return Handling.PASS if self.to_port is None else Handling.REDIRECT


def inbound(redirect: Redirect, family: Family) -> tuple[Rule, ...]:
    """Give the rules for what comes into the pod; both families have the same.

    What stays within the pod never meets these: its packets keep over the loopback
    interface what the outbound rules made of them.

    These rules come before the kernel asks whether a packet is for us at all. A
    neighbour can send us one that is not, and turned to the sidecar it would be
    carried on: to other pods, or to what listens on loopback alone. Let by, the
    kernel drops it, as it would have without us.
    """
    return _inbound(redirect, family, Handling.REDIRECT)


def tproxy(redirect: Redirect, family: Family) -> tuple[Rule, ...]:
    """Give the rules for what comes into the pod, where it keeps its destination.

    They are in the mangle table, which every packet meets, in both directions and on
    every interface: what stays in the pod passes, and so do answers to what the pod
    asked. All others go on meeting them after the connection is made: the last
    packet of a handshake under SYN cookies would else find the application.
    """
    return (
        Rule("within-the-pod", in_interface="lo"),
        Rule("answer", answer=True),
        *_inbound(redirect, family, Handling.TPROXY),
    )


def marks() -> tuple[Rule, ...]:
    """Give the rules that keep the application's answers to the inbound leg here.

    They are addressed to the caller, who has no such connection. What calls over the
    loopback interface from a foreign address is the inbound leg. It has the caller's
    address and a port of its own; should the caller itself have that port, both
    connections would have the same ends, and the one that is there comes first.
    """
    return (
        Rule(
            "not-into-another",
            handling=Handling.DROP,
            out_interface="lo",
            foreign=True,
            on_another=True,
        ),
        Rule(
            "inbound-leg",
            handling=Handling.MARK_CONNECTION,
            out_interface="lo",
            foreign=True,
        ),
        Rule(
            "answer-to-inbound-leg",
            handling=Handling.MARK_ANSWER,
            answer=True,
            marked=True,
        ),
    )


def _inbound(
    redirect: Redirect, family: Family, handling: Handling
) -> tuple[Rule, ...]:
    port = redirect.inbound_port
    return (
        Rule("not-for-this-pod", elsewhere=True),
        Rule("loopback-from-outside", destination=_LOOPBACK[family]),
        *(
            Rule("excluded-interface", in_interface=name)
            for name in redirect.exclude_interfaces
        ),
        *_passing("health", redirect.health_ports),
        *_passing("excluded-port", redirect.exclude_inbound_ports),
        *(
            Rule("to-inbound", port, handling, ports=ports)
            for ports in _chunks_or_all(redirect.include_inbound_ports)
        ),
    )


def outbound(redirect: Redirect, family: Family) -> tuple[Rule, ...]:
    """Give the rules for what leaves a process of the pod.

    The proxy's own connections come first and all pass. Its inbound leg dials the
    pod's own address: sent back to the inbound listener, it would go in circles.
    """
    return (
        Rule("proxy-uid", uid=redirect.proxy_uid),
        Rule("proxy-gid", gid=redirect.proxy_gid),
        # The application to itself, on 127.0.0.1 or on the pod's own address.
        Rule("to-itself", out_interface="lo"),
        *(
            Rule("excluded-interface", out_interface=name)
            for name in redirect.exclude_interfaces
        ),
        *_passing("excluded-port", redirect.exclude_outbound_ports),
        *(
            Rule("excluded-network", destination=network)
            for network in _of(family, redirect.exclude_outbound_cidrs)
        ),
        *(
            Rule(
                "to-outbound", redirect.outbound_port, destination=network, ports=ports
            )
            for network, ports in product(
                _of(family, redirect.include_outbound_cidrs or ()) or (None,),
                _chunks_or_all(redirect.include_outbound_ports),
            )
        ),
    )


def _passing(why: str, ports: Sequence[Ports]) -> Iterator[Rule]:
    return (Rule(why, ports=chunk) for chunk in _chunks(ports))


def _of(family: Family, networks: Sequence[Network]) -> tuple[Network, ...]:
    return tuple(each for each in networks if each.version == family.version)


def _chunks_or_all(ports: Sequence[Ports] | None) -> Sequence[tuple[Ports, ...]]:
    return ((),) if ports is None else tuple(_chunks(ports))


def _chunks(ports: Sequence[Ports]) -> Iterator[tuple[Ports, ...]]:
    """Cut *ports* into as many as one rule takes."""
    chunk: list[Ports] = []
    weight = 0
    for each in ports:
        cost = 1 if each.single else 2
        if weight + cost > _MULTIPORT:
            yield tuple(chunk)
            chunk, weight = [], 0
        chunk.append(each)
        weight += cost
    if chunk:
        yield tuple(chunk)
