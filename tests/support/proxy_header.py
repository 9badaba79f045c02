"""The header of the PROXY protocol as an application reads it, by the letter.

Written from the specification (HAProxy's doc/proxy-protocol.txt, 2.2) and from
nothing of ours.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGNATURE = bytes.fromhex("0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A")


class Partial(Exception):
    """The header is not there as a whole yet."""


@frozen
class Ssl:
    """The value of PP2_TYPE_SSL."""

    client: int
    verify: int
    values: Mapping[int, bytes]


@frozen
class Header:
    """What a header of version 2 says."""

    source: tuple[str, int]
    destination: tuple[str, int]
    values: Mapping[int, bytes]
    size: int
    """How many bytes it had."""

    @property
    def ssl(self) -> Ssl | None:
        if 0x20 not in self.values:
            return None
        client, verify = struct.unpack_from("!BI", self.values[0x20])
        return Ssl(client, verify, _values(self.values[0x20][5:]))


def decode(data: bytes) -> Header:
    """Read the header at the beginning of *data*.

    Raises:
        Partial: More has to come.
        ValueError: It is not one.
    """
    if data[:13] != (SIGNATURE + b"\x21")[: len(data)]:
        raise ValueError(f"not the command PROXY of version 2: {data[:13]!r}")
    if len(data) < 16:
        raise Partial
    family, size = struct.unpack_from("!BH", data, 13)
    body = data[16 : 16 + size]
    if len(body) < size:
        raise Partial
    width = {0x11: 4, 0x21: 16}.get(family)
    if width is None or size < 2 * width + 4:
        raise ValueError(f"not TCP over IPv4 or IPv6: {family:#x} with {size} bytes")
    source, destination = (
        str(ipaddress.ip_address(body[at : at + width])) for at in (0, width)
    )
    ports = struct.unpack_from("!HH", body, 2 * width)
    return Header(
        (source, ports[0]),
        (destination, ports[1]),
        _values(body[2 * width + 4 :]),
        16 + size,
    )


def _values(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while data:
        if len(data) < 3:
            raise ValueError(f"half of a value: {data!r}")
        kind, size = struct.unpack_from("!BH", data)
        if kind in found or len(data) < 3 + size:
            raise ValueError(f"a second or half a value: {data!r}")
        found[kind] = data[3 : 3 + size]
        data = data[3 + size :]
    return found
