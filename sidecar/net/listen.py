"""Listening sockets, and accepting from them without falling over."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import TYPE_CHECKING, Final

import trio
from attrs import evolve

from sidecar.net.sockopt import guard

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.config.model import Endpoint

Accepted = tuple[socket.socket, tuple[str, int]]
"""A connection, and the address of who made it."""

# As many as the kernel may hold (net.core.somaxconn cuts it): a burst of a
# thousand connections waits here rather than being refused.
_BACKLOG: Final = 4096

_EVERY_IPV4: Final = "0.0.0.0"  # noqa: S104 - where every address was asked for

# Out of file descriptors or memory: ours to wait out (accept(2)).
_EXHAUSTED: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_BACKOFF_FIRST: Final = 0.005
_BACKOFF_LAST: Final = 1.0


def bind(listen: Endpoint) -> socket.socket:
    """Bind and listen; ``[::]`` serves IPv4 too, and alone where there is no IPv6.

    Raises:
        OSError: The address is in use, is not ours, or the port needs a privilege.
    """
    sock = _bound(listen, shared=False)
    try:
        hear(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def bind_shared(listen: Endpoint, count: int) -> list[socket.socket]:
    """Bind *count* sockets to one address, between which the kernel spreads callers.

    None of them listens yet. Only the first asks for an address of its own: what
    others have there is found out, though all of them would be ready to share.

    Raises:
        OSError: The address is in use, is not ours, or the port needs a privilege.
    """
    first = _bound(listen, shared=False)
    sockets = [first]
    try:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        there = evolve(listen, port=first.getsockname()[1])
        while len(sockets) < count:
            sockets.append(bind_beside(there))
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def bind_beside(listen: Endpoint) -> socket.socket:
    """Bind one more socket to an address that `bind_shared` gave.

    Raises:
        OSError: Somebody else has it, or it is not ours.
    """
    return _bound(listen, shared=True)


def hear(sock: socket.socket) -> None:
    """Have the kernel accept what comes to a bound socket, and keep it in its queue."""
    sock.listen(_BACKLOG)


def _socket_for(host: str) -> tuple[socket.socket, str]:
    """Make a socket that can be bound to *host*, or to what is left of it."""
    address = ipaddress.ip_address(host)
    if address.version == 4:
        return socket.socket(socket.AF_INET), host
    try:
        return socket.socket(socket.AF_INET6), host
    except OSError as error:
        # A node that was booted with ipv6.disable=1: every address is one of IPv4.
        if error.errno != errno.EAFNOSUPPORT or not address.is_unspecified:
            raise
        return socket.socket(socket.AF_INET), _EVERY_IPV4


def _bound(listen: Endpoint, *, shared: bool) -> socket.socket:
    sock, host = _socket_for(listen.host)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if sock.family == socket.AF_INET6:
            wildcard = ipaddress.ip_address(host).is_unspecified
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not wildcard)
        # Accepted sockets inherit these, which saves six system calls on each.
        guard(sock)
        sock.bind((host, listen.port))
    except BaseException:
        sock.close()
        raise
    return sock


def accept_now(listener: socket.socket) -> Accepted | None:
    """Accept a connection that is there already; None if there is none, or it broke."""
    try:
        sock, address = listener.accept()
    except OSError:
        return None  # whatever it is, `accept` meets it next, and knows what to do
    sock.setblocking(False)
    return sock, address


async def accept(
    listener: socket.socket, exhausted: Callable[[OSError, float], None]
) -> Accepted:
    """Wait for one connection and accept it.

    Out of descriptors or memory it waits, from 5 ms to 1 s, says so to *exhausted*
    and tries again: the connections stay in the backlog. Errors of a single
    connection (it was reset before we came) pass over it.

    Raises:
        OSError: The listener itself is broken.
    """
    pause = _BACKOFF_FIRST
    while True:
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            await trio.lowlevel.wait_readable(listener)
        except OSError as error:
            if error.errno in _EXHAUSTED:
                exhausted(error, pause)
                await trio.sleep(pause)
                pause = min(pause * 2, _BACKOFF_LAST)
            elif error.errno in {errno.EBADF, errno.EINVAL, errno.ENOTSOCK}:
                raise
            else:
                # accept(2): Linux hands on pending errors of the connection. One
                # that never ends must not keep everybody else from running.
                await trio.lowlevel.checkpoint()
        else:
            sock.setblocking(False)
            return sock, address
