"""Where a redirected connection was going before iptables turned it to us.

The kernel keeps it in the connection's conntrack entry and gives it by
getsockopt: SO_ORIGINAL_DST (linux/netfilter_ipv4.h) and IP6T_SO_ORIGINAL_DST
(linux/netfilter_ipv6/ip6_tables.h), both number 80.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from typing import Final

from sidecar.config.model import Endpoint
from sidecar.net.addr import endpoint_of

_SO_ORIGINAL_DST: Final = 80
_SOL_IPV6: Final = 41
_SOCKADDR_IN: Final = struct.Struct("=H2s4s8x")
_SOCKADDR_IN6: Final = struct.Struct("=H2s4x16s4x")


class OriginalDstError(ValueError):
    """The bytes are not a socket address of IPv4 or IPv6."""


def decode(sockaddr: bytes) -> Endpoint:
    """Read a ``struct sockaddr_in`` or ``sockaddr_in6``.

    Raises:
        OriginalDstError: They are neither. No other exception escapes.
    """
    family = int.from_bytes(sockaddr[:2], sys.byteorder)
    if family == socket.AF_INET and len(sockaddr) == _SOCKADDR_IN.size:
        _, port, host = _SOCKADDR_IN.unpack(sockaddr)
        return Endpoint(str(ipaddress.IPv4Address(host)), int.from_bytes(port, "big"))
    if family == socket.AF_INET6 and len(sockaddr) == _SOCKADDR_IN6.size:
        _, port, host = _SOCKADDR_IN6.unpack(sockaddr)
        address = ipaddress.IPv6Address(host)
        return Endpoint(
            str(address.ipv4_mapped or address), int.from_bytes(port, "big")
        )
    raise OriginalDstError(
        f"expected a socket address of IPv4 or IPv6, got {sockaddr.hex()!r}"
    )


def original_dst(sock: socket.socket) -> Endpoint | None:
    """Ask the kernel where *sock*, an accepted connection, was going.

    Gives None where it was not redirected, or where this kernel tracks no
    connections.
    """
    own = endpoint_of(sock.getsockname())
    # A dual-stack socket carries IPv4 connections as mapped addresses, and those
    # are in the tables of IPv4.
    over_ipv4 = ":" not in own.host
    level = socket.SOL_IP if over_ipv4 else _SOL_IPV6
    size = _SOCKADDR_IN.size if over_ipv4 else _SOCKADDR_IN6.size
    try:
        found = decode(sock.getsockopt(level, _SO_ORIGINAL_DST, size))
    except OSError:
        return None
    # A connection that is tracked but not redirected was going where it arrived.
    arrived = Endpoint(own.host.partition("%")[0], own.port)
    return None if found == arrived else found
