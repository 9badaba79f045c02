"""Socket options of both legs."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Final

# A silent peer is asked after a minute and given up a minute later: well before
# the 5 minutes after which common NATs and conntrack tables forget a connection,
# and seldom enough that ten thousand idle connections cost nothing to speak of.
_IDLE_SECONDS: Final = 60
_INTERVAL_SECONDS: Final = 10
_PROBES: Final = 6

_RST_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # struct linger: on, 0 seconds


def guard(sock: socket.socket) -> None:
    """Send small writes at once, and notice a peer that has vanished."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _INTERVAL_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)


def was_reset(sock: socket.socket) -> bool:
    """Tell whether the peer has reset the connection, before anything is read of it.

    What it had sent is still there to be read, and so is an end that was none. The
    kernel tells it once.
    """
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


def reset(sock: socket.socket) -> None:
    """Close so that the peer sees a reset, not an end (RFC 9293, 3.10.7.4)."""
    if sock.fileno() < 0:
        return
    with contextlib.suppress(OSError):  # the peer was quicker: it is gone already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
    sock.close()
