"""Dialling: one connection to the first address that answers."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import socket
from typing import TYPE_CHECKING, Final

import trio

from sidecar.net.sockopt import guard
from sidecar.net.transparent import source_ports, speak_for

if TYPE_CHECKING:
    from collections.abc import Sequence

# Calling from somebody else's address, a port may turn out to be taken; what the rules
# of `sidecar redirect` make of that is silence, and within a pod silence is short.
_TAKEN: Final = {errno.EADDRINUSE, errno.EADDRNOTAVAIL}
_SILENCE_SECONDS: Final = 0.25


def _raise_for(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))


def _begin(sock: socket.socket, address: tuple[str, int]) -> int:
    """Begin to connect; give 0 if that is all, or the error, such as EALREADY."""
    code = sock.connect_ex(address)
    if code == errno.EINPROGRESS:
        # Within a pod it is done by now, and asking again costs less than a wait.
        code = sock.connect_ex(address)
    return 0 if code == errno.EISCONN else code


async def _connect(
    host: str, port: int, source: tuple[str, int] | None = None
) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        guard(sock)
        if source is not None:
            speak_for(sock, *source)
        code = _begin(sock, (host, port))
        if code == errno.EALREADY:
            await trio.lowlevel.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code and sock.getsockname()[:2] == (host, port):
            # Nobody listens on a port that the kernel may give out, and it gave us
            # just that: TCP connects to itself (RFC 9293, 3.5, simultaneous open).
            code = errno.ECONNREFUSED
        _raise_for(code)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect_as(host: str, port: int, source: str) -> socket.socket:
    """Connect from *source*, which is somebody else's address."""
    for own in source_ports():
        try:
            with trio.move_on_after(_SILENCE_SECONDS if own else math.inf):
                return await _connect(host, port, (source, own))
        except OSError as error:
            if not own or error.errno not in _TAKEN:
                raise
    raise AssertionError("the last port is 0, and was waited for")


async def dial(
    addresses: Sequence[str], port: int, source: str | None = None
) -> socket.socket:
    """Connect to the first of *addresses* (IP literals) that accepts.

    The caller sets the deadline over all of them. With *source*, an IP literal of the
    same family, the connection comes from there, though that is no address of ours.

    Raises:
        OSError: None accepted, or there was none to try. It is the error of the last
            one, such as ConnectionRefusedError, and says where.

    Cancellation:
        Nothing is left open.
    """
    last = OSError(errno.EADDRNOTAVAIL, "the name has no address yet")
    for left, host in zip(range(len(addresses), 0, -1), addresses, strict=True):
        where = f"{host} port {port}"
        with _share(left):
            try:
                if source is None:
                    return await _connect(host, port)
                return await _connect_as(host, port, source)
            except OSError as error:
                last = OSError(error.errno, error.strerror, where)
                continue
        last = OSError(errno.ETIMEDOUT, "no answer", where)
    raise last


def _share(left: int) -> contextlib.AbstractContextManager[object]:
    """Give one of *left* addresses its share of the time that is left.

    One that swallows packets must not have it all; the last one may.
    """
    if left == 1:
        return contextlib.nullcontext()
    rest = trio.current_effective_deadline() - trio.current_time()
    return trio.move_on_after(max(rest, 0) / left)
