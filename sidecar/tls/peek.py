"""Reading a connection's first bytes without losing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from sidecar.tls.client_hello import LIMIT, NEED_MORE, ClientHello, NotTls, Sniffer

if TYPE_CHECKING:
    import socket


async def receive(sock: socket.socket, limit: int = LIMIT) -> bytes:
    """Wait for bytes and take what is there; b"" is the end.

    Raises:
        OSError: The connection broke.
    """
    while True:
        await trio.lowlevel.wait_readable(sock)
        try:
            return sock.recv(limit)
        except BlockingIOError:
            continue


async def client_hello(
    sock: socket.socket, seconds: float
) -> tuple[ClientHello | NotTls, bytes]:
    """Read until it is clear whether the client speaks TLS.

    Gives the answer and every byte that was read. A client that is silent for
    *seconds*, or ends, speaks no TLS: it may be waiting for the server to begin.

    Raises:
        OSError: The connection broke.
    """
    seen = bytearray()
    sniffer = Sniffer()
    with trio.move_on_after(seconds):
        while data := await receive(sock):
            seen += data
            found = sniffer.feed(data)
            if found is not NEED_MORE:
                return found, bytes(seen)
    return NotTls(), bytes(seen)
