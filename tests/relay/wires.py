"""Real TCP connections, and what an application does with its end of one.

Resets and half-closes are TCP's; a socketpair has neither.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import TYPE_CHECKING

import trio

from sidecar.net.sockopt import reset

if TYPE_CHECKING:
    from collections.abc import Iterable

_REFUSALS = 6
"""Hundredths of a second without room: acknowledgements come up to 40 ms late."""


def connected(buffer: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection; the kernel holds about *buffer* bytes for each."""
    with socket.socket() as listener:
        _limit((listener,), buffer)  # before they connect: it decides the window
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        near = socket.socket()
        _limit((near,), buffer)
        near.connect(listener.getsockname())
        far, _ = listener.accept()
    for sock in (near, far):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, far


def _limit(sockets: Iterable[socket.socket], buffer: int | None) -> None:
    if buffer is not None:
        for sock in sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)


class Wire:
    """An application's end of a TCP connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.sock.send(rest) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self.sock)

    async def receive(self, limit: int = 65536) -> bytes:
        """Give what is there, at most *limit* bytes; nothing is the end."""
        while True:
            try:
                return self.sock.recv(limit)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.sock)

    async def end(self) -> None:
        """Send the last byte, and go on receiving."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        reset(self.sock)

    def close(self) -> None:
        self.sock.close()


def fill(sock: socket.socket, size: int = 65536) -> int:
    """Send pieces of *size* until the kernel has no room; give how much it took."""
    taken = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            taken += sock.send(bytes(size))
    return taken


def fill_up(sock: socket.socket) -> int:
    """Send until there is no room for a byte, and none appears either.

    Only small buffers (`connected`) stay full.
    """
    taken = refused = 0
    while refused < _REFUSALS:
        more = fill(sock) + fill(sock, 1)  # the last segment may have room left
        taken += more
        if more:
            refused = 0
        else:
            refused += 1
            time.sleep(0.01)
    return taken


def arrived(*socks: socket.socket, event: int = select.POLLIN) -> None:
    """Wait for what was sent: the loopback too may be late, if not by much.

    POLLHUP is a reset, or the second FIN of two.
    """
    for sock in socks:
        poll = select.poll()
        poll.register(sock, event)
        assert poll.poll(5000), f"nothing arrived at {sock}"
