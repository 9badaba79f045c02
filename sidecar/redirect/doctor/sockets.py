"""The kernel's list of the TCP sockets of a pod: ``/proc/net/tcp`` and ``tcp6``.

It shows all sockets of the network namespace, to everybody, each with the user that
made it. That is the user which the rules ask about (xt_owner compares the fsuid with
which a socket was opened), and no name that a hook on connect() or getpeername() puts
on a socket changes what is here.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.config.model import Endpoint
from sidecar.redirect.model import Family

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LISTEN, _SYN_RECV = "0A", "03"  # linux/include/net/tcp_states.h
_LINE: Final = re.compile(
    r"\s*[0-9]+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})"
    r" ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{2})"
    r" [0-9A-F]{8}:([0-9A-F]{8}) [0-9A-F]{2}:[0-9A-F]{8} [0-9A-F]{8}"
    r" +([0-9]{1,10}) +[0-9]+ ([0-9]{1,20})\b.*"
)
LOOPBACK: Final = {Family.IPV4: "127.0.0.1", Family.IPV6: "::1"}


@frozen
class Socket:
    """One line of the list.

    Attributes:
        remote: The other end; port 0 where it listens.
        uid: Who made it; of a connection that has yet to arrive, the listener's.
        listens: Whether it takes connections.
        arriving: Whether it is a connection whose handshake has yet to end.
        waiting: For one that listens, how many connections wait to be accepted.
        inode: What fstat() says of it to its owner; 0 where nobody has it.
    """

    local: Endpoint
    remote: Endpoint
    uid: int
    listens: bool = False
    arriving: bool = False
    waiting: int = 0
    inode: int = 0


def is_listener(line: str) -> bool:
    """Tell whether a line of either list is one of who listens."""
    return f" {_LISTEN} " in line


def parse_listeners(text: str) -> Iterator[Socket]:
    """Read who listens; lines that it does not know say nothing."""
    return _parse(text, f" {_LISTEN} ")


def parse_connections(text: str, port: int) -> Iterator[Socket]:
    """Read what has *port* at either end; a pod may have many connections more."""
    return _parse(text, f":{port:04X} ")


def _parse(text: str, containing: str) -> Iterator[Socket]:
    for line in text.split("\n"):
        match = _LINE.fullmatch(line) if containing in line else None
        if match is None:
            continue
        local, local_port, remote, remote_port, state, queue, uid, inode = (
            match.groups()
        )
        yield Socket(
            Endpoint(_host(local), int(local_port, 16)),
            Endpoint(_host(remote), int(remote_port, 16)),
            int(uid),
            state == _LISTEN,
            state == _SYN_RECV,
            int(queue, 16),
            int(inode),
        )


def _host(digits: str) -> str:
    """Undo the kernel's way to write an address: words in its own byte order."""
    words = [bytes.fromhex(digits[at : at + 8]) for at in range(0, len(digits), 8)]
    in_order = b"".join(
        int.from_bytes(word, sys.byteorder).to_bytes(4, "big") for word in words
    )
    address = ipaddress.ip_address(in_order)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def arrival(sockets: Iterable[Socket], source: Endpoint) -> Socket | None:
    """Find where in this pod the connection that comes from *source* arrives.

    Others may have had the same source, to other destinations; theirs have arrived.
    """
    return next(
        (each for each in sockets if each.arriving and each.remote == source), None
    )


def owned(sockets: Iterable[Socket], inode: int) -> Socket | None:
    """Find the socket that has *inode*."""
    return next((each for each in sockets if each.inode == inode), None)


def listeners_at(
    sockets: Iterable[Socket], family: Family, port: int, *, outside: bool
) -> tuple[Socket, ...]:
    """Find who listens where the rules lead to.

    What leaves a process is turned to the family's loopback address, and what comes
    from *outside* to an address of the interface.
    """
    return tuple(
        each
        for each in sockets
        if each.listens
        and each.local.port == port
        and _takes(each.local.host, family, outside=outside)
    )


def _takes(host: str, family: Family, *, outside: bool) -> bool:
    address = ipaddress.ip_address(host)
    # One at [::] takes IPv4 too, unless IPV6_V6ONLY is set, which the list hides.
    if address.is_unspecified:
        return address.version in {6, family.version}
    if address.version != family.version:
        return False
    return not address.is_loopback if outside else host == LOOPBACK[family]
