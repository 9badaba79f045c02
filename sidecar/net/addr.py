"""Addresses as the data path carries them.

The kernel speaks of an IPv4 peer of a dual-stack socket as ``::ffff:192.0.2.1``
(RFC 4291, 2.5.5.2). Policies, routes and people speak of ``192.0.2.1``, so the
mapping is undone here, once, where an address enters.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any, TypeAlias

from sidecar.config.model import Endpoint

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAPPED = "::ffff:"


def plain_host(host: str) -> str:
    """Give the IPv4 form of a mapped address, and any other address as it is.

    A zone (``fe80::1%eth0``) is kept: it is part of where the address leads.
    """
    if host.startswith(_MAPPED) and "." in host:
        return host[len(_MAPPED) :]
    return host


def endpoint_of(sockaddr: Any) -> Endpoint:
    """Give the endpoint of what `socket.accept` or `getsockname` returned."""
    return Endpoint(plain_host(sockaddr[0]), sockaddr[1])


@lru_cache(maxsize=4096)  # the same few callers and destinations come again and again
def address_of(host: str) -> Address:
    """Give *host*, an IP literal, as what networks are compared with; without a zone.

    Raises:
        ValueError: It is none.
    """
    return ipaddress.ip_address(host.partition("%")[0])
