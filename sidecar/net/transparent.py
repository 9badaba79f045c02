"""Sockets that speak for others: the inbound leg with its caller's own address.

Linux lets a socket with IP_TRANSPARENT take connections to any address that TPROXY
hands it, and bind to an address that is not ours (ip(7), and
Documentation/networking/tproxy.rst of the kernel).
"""

from __future__ import annotations

import errno
import random
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# linux/in.h and linux/in6.h; Python's socket module has neither.
_IP_TRANSPARENT: Final = 19
_IPV6_TRANSPARENT: Final = 75
_IP_BIND_ADDRESS_NO_PORT: Final = 24

# Beyond what Linux gives to clients (net.ipv4.ip_local_port_range, 32768 to 60999).
# Our connection to the application must not look like one that the same caller has
# with us, or opens next: both would have the same four numbers.
_FIRST_PORT: Final = 61000
_LAST_PORT: Final = 65535
_TRIES: Final = 8


def make_transparent(sock: socket.socket) -> None:
    """Let *sock* take what TPROXY hands it, or bind to a foreign address.

    Raises:
        PermissionError: The process has neither NET_ADMIN nor NET_RAW.
    """
    level, option = socket.SOL_IP, _IP_TRANSPARENT
    if sock.family == socket.AF_INET6:
        level, option = socket.IPPROTO_IPV6, _IPV6_TRANSPARENT
    try:
        sock.setsockopt(level, option, 1)
    except PermissionError:
        why = "transparent needs the capability NET_ADMIN or NET_RAW"
        raise PermissionError(errno.EPERM, why) from None


def source_ports() -> Iterator[int]:
    """Give ports to call from, one after the other; the last is 0: any that is free."""
    for _ in range(_TRIES):
        # No secret: whoever guesses it gains nothing.
        yield random.randint(_FIRST_PORT, _LAST_PORT)  # noqa: S311
    yield 0


def speak_for(sock: socket.socket, host: str, port: int) -> None:
    """Have *sock* call from *host*, which is somebody else's address, and *port*.

    Raises:
        OSError: No permission, or the host is no address to call from.
    """
    make_transparent(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # What is taken is then a matter of both ends, and known when we connect.
    sock.setsockopt(socket.SOL_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind((host, port))
