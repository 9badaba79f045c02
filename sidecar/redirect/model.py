"""What is to be redirected, as typed values that no text can escape from."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

from attrs import frozen

Network = IPv4Network | IPv6Network


class Family(StrEnum):
    """One of the two protocols; each has tables of its own."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"

    @property
    def version(self) -> int:
        """4 or 6, as `ipaddress` has it."""
        return 4 if self is Family.IPV4 else 6


class Backend(StrEnum):
    """Which of the kernel's two packet filters an iptables program speaks to."""

    NFT = "nft"
    LEGACY = "legacy"
    PLAIN = "plain"
    """``iptables`` without a suffix, where it has no siblings: whichever it is."""


class InboundMode(StrEnum):
    """How what comes into the pod gets to the sidecar."""

    REDIRECT = "redirect"
    """Its destination is changed; the application sees the sidecar as its caller."""
    TPROXY = "tproxy"
    """It is handed over as it is, to a listener with ``transparent: true``, and the
    application sees the caller's address."""


@frozen(order=True)
class Ports:
    """A port, or a range of them, both ends included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.single else f"{self.first}-{self.last}"

    @property
    def single(self) -> bool:
        """Whether it is one port."""
        return self.first == self.last

    def covers(self, other: Ports) -> bool:
        """Tell whether every port of *other* is one of these."""
        return self.first <= other.first and other.last <= self.last


@frozen
class Redirect:
    """What of a pod's TCP goes to the sidecar, and what goes past it.

    An *include* that is None means everything. An included port and an included
    network both have to fit. Where the included networks name none of a family,
    all of that family is included: a list of IPv4 networks is no way round by IPv6.
    """

    inbound_mode: InboundMode = InboundMode.REDIRECT
    inbound_port: int = 15006
    outbound_port: int = 15001
    health_ports: tuple[Ports, ...] = (Ports(15020, 15020),)
    include_inbound_ports: tuple[Ports, ...] | None = None
    exclude_inbound_ports: tuple[Ports, ...] = ()
    include_outbound_ports: tuple[Ports, ...] | None = None
    exclude_outbound_ports: tuple[Ports, ...] = ()
    include_outbound_cidrs: tuple[Network, ...] | None = None
    exclude_outbound_cidrs: tuple[Network, ...] = ()
    exclude_interfaces: tuple[str, ...] = ()
    proxy_uid: int = 1337
    proxy_gid: int = 1337
