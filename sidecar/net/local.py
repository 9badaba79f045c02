"""Which addresses are this network namespace's own."""

from __future__ import annotations

import ipaddress
import socket


def is_local(host: str) -> bool:
    """Tell whether *host*, an IP literal, leads back to this network namespace.

    Asks the kernel by binding, as routing tables and interfaces change under us.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False  # nor is one of IPv6 where the kernel has none
    return True


def is_for_us(host: str, caller: str) -> bool:
    """Tell whether *caller* can mean this network namespace by *host*, an IP literal.

    Loopback, and "this host", are for those who are here (RFC 1122, 3.2.1.3). The
    kernel drops what comes for them from elsewhere, but only after iptables has
    redirected it.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    private = address.is_loopback or address.is_unspecified
    return is_local(host) and (not private or is_local(caller))
