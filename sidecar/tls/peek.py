"""Reading a connection's first bytes without losing them."""

from __future__ import annotations

import socket

import trio

from sidecar.tls.client_hello import LIMIT, NEED_MORE, ClientHello, NotTls, Sniffer


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


def has_left(sock: socket.socket) -> bool:
    """Tell whether a client has ended that has more to say in its handshake.

    Nothing is taken, and where something is there to be read, it has not.

    Raises:
        OSError: The connection broke.
    """
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False


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
