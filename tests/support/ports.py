"""TCP ports that a test may tell a real process to listen on."""

from __future__ import annotations

import random
import socket

_PORTS = range(20000, 32768)
"""Below where Linux takes the ports of outgoing connections (ip_local_port_range):
a client cannot grab one between our choice and the listener's bind."""

_reservations: dict[int, socket.socket] = {}


def free_port() -> int:
    """Give a port that nothing listens on and that no other test was given.

    The reservation lasts as long as this process and holds against other test
    processes of the same network namespace.
    """
    for port in random.sample(_PORTS, len(_PORTS)):
        # In this order: to look is to listen for a moment, in whose way a program
        # could come that was given the port.
        if port not in _reservations and _reserve(port) and _is_free(port):
            return port
    raise RuntimeError(f"no free port in {_PORTS}")


def _is_free(port: int) -> bool:
    dual = socket.has_dualstack_ipv6()
    family, host = (socket.AF_INET6, "::") if dual else (socket.AF_INET, "0.0.0.0")
    try:
        with socket.create_server((host, port), family=family, dualstack_ipv6=dual):
            pass
    except OSError:
        return False
    return True


def _reserve(port: int) -> bool:
    """Take an abstract Unix socket as the lock; the kernel frees it with us."""
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0sidecar-test-port-{port}")
    except OSError:
        lock.close()
        return False
    _reservations[port] = lock
    return True
