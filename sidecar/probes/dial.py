"""Connecting to the application, as a probe does."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import trio

from sidecar.net.dial import dial
from sidecar.probes.answer import ProbeFailed
from sidecar.probes.kubelet import is_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def dialled(host: str, port: int) -> AsyncIterator[trio.SocketStream]:
    """Connect, and close at the end of the block.

    The sidecar's own user is not redirected, so this reaches the application itself.

    Raises:
        ProbeFailed: Nobody accepts there; the message says why.

    Cancellation:
        Nothing is left open.
    """
    try:
        addresses = [host] if is_address(host) else await _resolve(host)
        sock = await dial(addresses, port)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ProbeFailed(f"{host} port {port}: {why.lower()}") from None
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    try:
        yield stream
    finally:
        await trio.aclose_forcefully(stream)


async def _resolve(name: str) -> list[str]:
    found = await trio.socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
