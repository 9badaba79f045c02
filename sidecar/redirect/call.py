"""Making a connection, to see where it ends up; without anybody having to carry it.

The client holds back the end of its handshake, so that whoever listens has a connection
that is not yet to be accepted, and the kernel's list of sockets shows at which address
that is. Then the client is gone: the sidecar was never told, and has nothing to carry,
to count or to log.

A filter that lets the client hear nothing but a reset holds it for as long as looking
takes. Where the kernel lets only root attach one, TCP_QUICKACK (tcp(7)) keeps back the
last packet for 200 ms.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import random
import secrets
import select
import socket
import struct
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.net.addr import endpoint_of
from sidecar.net.original_dst import original_dst
from sidecar.net.transparent import speak_for
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
_PORTS: Final = 32768, 60999
"""Those that Linux gives to clients (net.ipv4.ip_local_port_range)."""
_STEP_SECONDS: Final = 0.05
_DELAYED_SECONDS: Final = 0.15  # TCP_DELACK_MAX is 0.2
_TRIES: Final = 3
_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h
_ONLY_RESETS: Final = (  # code, true, false, k: linux/bpf_common.h
    (0x30, 0, 0, 13),  # load the byte of the TCP header that has the flags (RFC 9293)
    (0x45, 0, 1, 0x04),  # is RST among them?
    (0x06, 0, 0, 0xFFFF),  # then let all of it in
    (0x06, 0, 0, 0),  # or nothing
)


@frozen
class Call:
    """What became of a connection.

    Attributes:
        at: The socket of this pod that has its other end.
        remote: Where its own socket leads, as the kernel has it.
        why_not: Why it could not be made.
    """

    fate: Fate
    at: Socket | None = None
    remote: Endpoint | None = None
    why_not: str = ""


def call(target: Endpoint, seconds: float, user: tuple[int, int] | None = None) -> Call:
    """Begin to connect to *target*, an IP literal, and see where it arrives.

    Args:
        target: The address.
        seconds: How long to wait for it to arrive, or to be refused.
        user: The user and group to connect as; None is ours. Needs root.
    """
    made = _call(target, seconds, user)
    for _ in range(1, _TRIES):  # a busy machine may not look in time
        if made.fate not in {Fate.ANSWERED, Fate.UNTRIED}:
            break
        made = _call(target, seconds, user)
    return made


def _call(target: Endpoint, seconds: float, user: tuple[int, int] | None) -> Call:
    try:
        sock = _socket(family_of(target), user)
    except OSError as error:
        return Call(Fate.UNTRIED, why_not=f"not permitted: {error.strerror}")
    with sock:
        held = _hold(sock)
        begun = time.monotonic()
        failed = _begin(sock, target)
        if failed == errno.ECONNREFUSED:
            return Call(Fate.REFUSED)
        if failed:
            return Call(Fate.UNTRIED, why_not=os.strerror(failed))
        return _follow(sock, begun + seconds, begun + held)


def _follow(sock: socket.socket, ends: float, held: float) -> Call:
    """See where *sock*, which has begun to connect, leads to.

    Until *held* it cannot have been accepted by anybody in this pod.
    """
    source = endpoint_of(sock.getsockname())
    inode = os.fstat(sock.fileno()).st_ino
    wait = 0.0
    while True:
        ended = _outcome(sock, wait)
        if ended == errno.ECONNREFUSED:
            return Call(Fate.REFUSED)
        found = read_connections(source.port)
        at, own = arrival(found, source), owned(found, inode)
        remote = own.remote if own is not None else None
        if at is not None:
            return Call(Fate.ARRIVED, at, remote)
        if ended == 0 and time.monotonic() > held:
            return Call(
                Fate.UNTRIED, why_not="this pod's sockets take too long to read"
            )
        if ended == 0:
            return Call(Fate.ANSWERED, None, remote)
        wait = min(_STEP_SECONDS, ends - time.monotonic())
        if ended is not None or wait <= 0:
            return Call(Fate.LEFT, None, remote)


def call_for(caller: str, target: Endpoint, seconds: float) -> Call:
    """Connect to *target*, where somebody listens, from the address of *caller*.

    It is nobody's of this pod. The kernel sees the handshake through, if the answer
    gets to us; nobody has to accept it.
    """
    with _socket(family_of(target), None) as sock:
        try:
            speak_for(sock, caller, 0)
        except OSError as error:
            return Call(Fate.UNTRIED, why_not=f"not permitted: {error.strerror}")
        failed = _begin(sock, target, bound=True)
        ended = failed or _outcome(sock, seconds)
    if ended == 0:
        return Call(Fate.ARRIVED)
    if ended is None:
        return Call(Fate.LEFT)
    refused = ended == errno.ECONNREFUSED
    return Call(Fate.REFUSED if refused else Fate.UNTRIED, why_not=os.strerror(ended))


def answers(target: Endpoint, seconds: float) -> bool:
    """Tell whether anybody accepts a connection to *target*; it is reset then."""
    with _socket(family_of(target), None) as sock:
        begun = _begin(sock, target)
        return begun == 0 and _outcome(sock, seconds) == 0


def original_destination(
    target: Endpoint, listener: socket.socket, seconds: float
) -> Endpoint | None:
    """Connect to *target*, which leads to *listener*; ask the kernel there for it.

    None where it does not know, or where the connection has not come.
    """
    nonce = secrets.token_bytes(16)
    ends = time.monotonic() + seconds
    with _socket(family_of(target), None) as client:
        begun = _begin(client, target)
        if begun or _outcome(client, seconds) != 0:
            return None
        client.send(nonce)
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


def _hold(sock: socket.socket) -> float:
    """Keep *sock* from ending its handshake; give for how many seconds."""
    try:
        _hear_only_resets(sock)
    except PermissionError:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        return _DELAYED_SECONDS
    return math.inf


def _hear_only_resets(sock: socket.socket) -> None:
    program = b"".join(struct.pack("=HBBI", *each) for each in _ONLY_RESETS)
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog of linux/filter.h
    description = struct.pack("@HP", len(_ONLY_RESETS), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, description)


def _begin(sock: socket.socket, target: Endpoint, *, bound: bool = False) -> int:
    """Begin to connect; give 0, or the error where it has ended already."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    if not bound:
        with suppress(OSError):
            # The kernel gives ports in turn: the next was likely used lately, too.
            sock.bind(("", random.randint(*_PORTS)))  # noqa: S311 - no secret
    begun = sock.connect_ex((target.host, target.port))
    return 0 if begun == errno.EINPROGRESS else begun


def _outcome(sock: socket.socket, seconds: float) -> int | None:
    """Wait for the end of connecting; None where there was none in time."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    if not poll.poll(seconds * 1000):
        return None
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
