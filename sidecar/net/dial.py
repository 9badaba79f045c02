"""Dialling: one connection to the first address that answers."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING

import trio

from sidecar.net.sockopt import guard

if TYPE_CHECKING:
    from collections.abc import Sequence


class DialError(OSError):
    """No address answered; carries the error of the last one."""


def _raise_for(code: int) -> None:
    if code:
        raise OSError(code, os.strerror(code))


async def _connect(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        guard(sock)
        code = sock.connect_ex((host, port))
        if code == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        _raise_for(code)
    except BaseException:
        sock.close()
        raise
    return sock


async def dial(addresses: Sequence[str], port: int) -> socket.socket:
    """Connect to the first of *addresses* (IP literals) that accepts.

    The caller sets the deadline over all of them.

    Raises:
        DialError: None accepted, or there was none to try.

    Cancellation:
        Nothing is left open.
    """
    last = DialError(errno.EADDRNOTAVAIL, "the name has no address yet")
    for left, host in zip(range(len(addresses), 0, -1), addresses, strict=True):
        # An address that swallows packets may take its share of the time, not all.
        share = (trio.current_effective_deadline() - trio.current_time()) / left
        with trio.move_on_after(share) if left > 1 else contextlib.nullcontext():
            try:
                return await _connect(host, port)
            except OSError as error:
                last = DialError(error.errno, error.strerror, f"{host} port {port}")
                continue
        last = DialError(errno.ETIMEDOUT, "no answer", f"{host} port {port}")
    raise last
