"""TCP ports for processes that have to be told theirs."""

from __future__ import annotations

import random
import socket
from typing import Final

# Below where Linux takes the ports of outgoing connections (ip_local_port_range): no
# load generator can grab one between the choice and the bind.
_PORTS: Final = range(20000, 32768)

_given: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free and was not given before."""
    for port in random.sample(_PORTS, len(_PORTS)):
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise RuntimeError(f"no free port in {_PORTS}")


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
