"""Which listeners take what TPROXY hands over: asked of the kernel, by sock_diag(7).

``/proc/net/tcp`` does not show it. Everybody may ask, for the own network namespace.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_NETLINK_SOCK_DIAG: Final = 4  # linux/netlink.h
_SOCK_DIAG_BY_FAMILY: Final = 20  # linux/sock_diag.h
_NLM_F_DUMP: Final = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_LISTENING: Final = 1 << 10  # TCP_LISTEN of linux/tcp_states.h
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBxI48x")
"""struct inet_diag_req_v2 of linux/inet_diag.h, for any socket."""
_MESSAGE: Final = struct.Struct("=4x48x8x4x4xI")
"""struct inet_diag_msg, as far as its last field, the inode."""
_ATTRIBUTE: Final = struct.Struct("=HH")
_INET_DIAG_SOCKOPT: Final = 22
_TRANSPARENT: Final = 0x20 if sys.byteorder == "little" else 0x04
"""The sixth bit field of struct inet_diag_sockopt."""
_SECONDS: Final = 1.0
_MOST: Final = 1 << 16


class DiagError(ValueError):
    """The bytes are no answer of sock_diag."""


def transparent_listeners() -> frozenset[int] | None:
    """Give the inodes of those listeners; None where the kernel does not tell."""
    found: dict[int, bool] = {}
    try:
        for family in (socket.AF_INET, socket.AF_INET6):
            for data in _ask(family):
                found |= parse_diag(data)
    except (OSError, DiagError):
        return None
    return frozenset(inode for inode, transparent in found.items() if transparent)


def _ask(family: int) -> Iterator[bytes]:
    request = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, _LISTENING)
    header = _HEADER.pack(
        _HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_DUMP, 1, 0
    )
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG
    ) as sock:
        sock.settimeout(_SECONDS)
        sock.send(header + request)
        while True:
            data = sock.recv(_MOST)
            yield data
            if ended(data):
                return


def ended(data: bytes) -> bool:
    """Tell whether nothing comes after *data*.

    Raises:
        DiagError: It is cut off, or the kernel refused.
    """
    kinds = [kind for kind, _ in _messages(data)]
    if _NLMSG_ERROR in kinds:
        raise DiagError("the kernel refused to tell")
    return not kinds or _NLMSG_DONE in kinds


def parse_diag(data: bytes) -> dict[int, bool]:
    """Read which sockets, by their inodes, are transparent (IP_TRANSPARENT).

    Raises:
        DiagError: It is cut off, or from before Linux 5.10, which tells of it.
    """
    found: dict[int, bool] = {}
    for kind, body in _messages(data):
        if kind != _SOCK_DIAG_BY_FAMILY:
            continue
        if len(body) < _MESSAGE.size:
            raise DiagError(f"a socket of {len(body)} bytes")
        (inode,) = _MESSAGE.unpack_from(body)
        found[inode] = _is_transparent(body[_MESSAGE.size :])
    return found


def _is_transparent(attributes: bytes) -> bool:
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if not _ATTRIBUTE.size <= length <= len(attributes):
            raise DiagError(f"an attribute of {length} bytes")
        if kind == _INET_DIAG_SOCKOPT and length >= _ATTRIBUTE.size + 2:
            return bool(attributes[_ATTRIBUTE.size] & _TRANSPARENT)
        attributes = attributes[(length + 3) & ~3 :]
    raise DiagError("nothing is told of a socket's options")


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length = _HEADER.unpack_from(data)[0] if len(data) >= _HEADER.size else 0
        if not _HEADER.size <= length <= len(data):
            raise DiagError(f"a message of {length} bytes")
        yield _HEADER.unpack_from(data)[1], data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]
