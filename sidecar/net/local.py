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
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True
