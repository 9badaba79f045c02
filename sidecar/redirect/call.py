"""Making a connection, to see where it ends up; without anybody having to carry it.

The client keeps back the last packet of its handshake (TCP_QUICKACK off, tcp(7)), so
that for up to 200 ms whoever listens has a connection that is not yet to be accepted.
The kernel's list of sockets shows at which address that is. Then the client resets:
the sidecar was never told, and has nothing to carry, to count or to log.
"""

from __future__ import annotations

import errno
import os
import secrets
import select
import socket
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.net.addr import endpoint_of
from sidecar.net.original_dst import original_dst
from sidecar.redirect.doctor.facts import Fate
from sidecar.redirect.doctor.sockets import arrival, owned
from sidecar.redirect.model import Family
from sidecar.redirect.socket_lists import read_connections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.config.model import Endpoint
    from sidecar.redirect.doctor.sockets import Socket

_FAMILIES: Final = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing resets, also what waits to be accepted (tcp(7))."""
_TRIES: Final = 3
"""Between connecting and looking a busy machine may need those 200 ms."""


@frozen
class Call:
    """What became of a connection.

    Attributes:
        at: The socket of this pod that has its other end.
        remote: Where its own socket leads, as the kernel has it.
        original: Where the kernel says that it was going, to one who accepted it.
        why_not: Why it could not be made.
    """

    fate: Fate
    at: Socket | None = None
    remote: Endpoint | None = None
    original: Endpoint | None = None
    why_not: str = ""


def call(
    target: Endpoint,
    seconds: float,
    user: tuple[int, int] | None = None,
    accepting: socket.socket | None = None,
) -> Call:
    """Connect to *target*, an IP literal, and see who gets it.

    Args:
        target: The address.
        seconds: How long to wait for an answer.
        user: The user and group to connect as; None is ours. Needs root.
        accepting: A listener of ours, who is to accept it where he gets it.
    """
    made = _call(target, seconds, user, accepting)
    for _ in range(1, _TRIES):
        if made.fate is not Fate.ANSWERED:
            break
        made = _call(target, seconds, user, accepting)
    return made


def _call(
    target: Endpoint,
    seconds: float,
    user: tuple[int, int] | None,
    accepting: socket.socket | None,
) -> Call:
    try:
        sock = _socket(family_of(target), user)
    except OSError as error:
        return Call(Fate.UNTRIED, why_not=f"not permitted: {error.strerror}")
    with sock:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        begun = sock.connect_ex((target.host, target.port))
        if begun not in {0, errno.EINPROGRESS, errno.ECONNREFUSED}:
            return Call(Fate.UNTRIED, why_not=os.strerror(begun))
        ended = _outcome(sock, seconds) if begun == errno.EINPROGRESS else begun
        if ended == errno.ECONNREFUSED:
            return Call(Fate.REFUSED)
        source = endpoint_of(sock.getsockname())
        found = read_connections(source.port)
        at, own = arrival(found, source), owned(found, os.fstat(sock.fileno()).st_ino)
        remote = own.remote if own is not None else None
        if at is not None:
            original = _accept(accepting, sock, seconds) if accepting else None
            return Call(Fate.ARRIVED, at, remote, original)
        return Call(Fate.ANSWERED if ended == 0 else Fate.LEFT, None, remote)


def family_of(target: Endpoint) -> Family:
    """Tell of which family an address is."""
    return Family.IPV6 if ":" in target.host else Family.IPV4


def source_towards(target: Endpoint) -> str | None:
    """Give the pod's own address that what is sent to *target* comes from."""
    with _socket(family_of(target), None, socket.SOCK_DGRAM) as sock:
        if sock.connect_ex((target.host, target.port)):
            return None
        return endpoint_of(sock.getsockname()).host


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket | None]:
    """Listen at an address, which gives None where it is not to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError:
        yield None
        return
    with listener:
        yield listener


def _socket(
    family: Family, user: tuple[int, int] | None, kind: int = socket.SOCK_STREAM
) -> socket.socket:
    """Make a socket; it belongs for ever to the user that made it.

    Raises:
        OSError: We may not be that user, or there is no such family.
    """
    if user is None:
        return socket.socket(_FAMILIES[family], kind)
    uid, gid = os.geteuid(), os.getegid()
    try:
        os.setegid(user[1])
        os.seteuid(user[0])
        return socket.socket(_FAMILIES[family], kind)
    finally:
        os.seteuid(uid)
        os.setegid(gid)


def _outcome(sock: socket.socket, seconds: float) -> int | None:
    """Wait for the end of connecting; None where there was none in time."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    if not poll.poll(seconds * 1000):
        return None
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _accept(
    listener: socket.socket, client: socket.socket, seconds: float
) -> Endpoint | None:
    """Accept what *client* has connected; give where the kernel says it was going."""
    nonce = secrets.token_bytes(16)
    client.send(nonce)
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        listener.settimeout(left)
        try:
            accepted, peer = listener.accept()
            with accepted:
                if endpoint_of(peer) != endpoint_of(client.getsockname()):
                    continue
                accepted.settimeout(left)
                if accepted.recv(len(nonce)) == nonce:
                    return original_dst(accepted)
        except OSError:
            continue
    return None
