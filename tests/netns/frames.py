"""Frames that no honest stack would send: an invitation to connect, made by hand."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING

from attrs import frozen

from tests.netns.captures import IPV4, IPV6, ROUTING, SYN, TCP

if TYPE_CHECKING:
    from tests.netns.pods import Pod


@frozen
class Extra:
    """More than a header needs.

    Attributes:
        number: Which extension header of IPv6 it is; of no meaning in IPv4.
        data: The options of IPv4, or the header, which says that TCP follows.
    """

    number: int
    data: bytes


@frozen
class Frame:
    """A segment without data, in IP and Ethernet.

    Attributes:
        to: The MAC address of who gets it, whatever the destination.
        sender: The MAC address of who sends it.
    """

    to: bytes
    sender: bytes
    source: str
    source_port: int
    destination: str
    port: int
    flags: int = SYN
    extra: Extra | None = None

    def encode(self) -> bytes:
        hosts = [ip_address(each).packed for each in (self.source, self.destination)]
        source, destination = hosts
        # Sequence number, none acknowledged, five words, window; RFC 9293, 3.1.
        rest = struct.pack("!IIBBHHH", 1, 0, 5 << 4, self.flags, 65535, 0, 0)
        segment = struct.pack("!HH", self.source_port, self.port) + rest
        pseudo = source + destination + struct.pack("!II", len(segment), TCP)
        checksum = _sum(pseudo + segment).to_bytes(2, "big")
        segment = segment[:16] + checksum + segment[18:]
        ipv6 = len(source) == 16
        packet = (_ipv6 if ipv6 else _ipv4)(source + destination, self.extra, segment)
        return self.to + self.sender + (IPV6 if ipv6 else IPV4) + packet


def _ipv4(hosts: bytes, options: Extra | None, segment: bytes) -> bytes:
    data = options.data if options else b""
    words = 5 + len(data) // 4
    size = words * 4 + len(segment)
    header = struct.pack("!BBHHHBBH", 64 + words, 0, size, 7, 0, 64, TCP, 0) + hosts
    header += data
    return header[:10] + _sum(header).to_bytes(2, "big") + header[12:] + segment


def _ipv6(hosts: bytes, header: Extra | None, segment: bytes) -> bytes:
    following, data = (header.number, header.data) if header else (TCP, b"")
    start = struct.pack("!IHBB", 6 << 28, len(data) + len(segment), following, 64)
    return start + hosts + data + segment


def _sum(data: bytes) -> int:
    """Give the Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def source_route(host: str) -> Extra:
    """Say that the packet is to go on to *host*; nobody takes orders like that.

    A loose source route (RFC 791, 3.1), or a routing header of type 0 (RFC 5095).
    """
    to = ip_address(host).packed
    if len(to) == 4:
        return Extra(0, bytes([131, 7, 4]) + to + b"\0")
    return Extra(ROUTING, bytes([TCP, 2, 0, 1]) + bytes(4) + to)


def mac_of(pod: Pod) -> bytes:
    with _card(pod) as sock:
        address: bytes = sock.getsockname()[4]
        return address


def send(pod: Pod, *frames: Frame) -> None:
    """Put frames on the pod's wire, past its own rules and routes."""
    with _card(pod) as sock:
        for frame in frames:
            sock.send(frame.encode())


def _card(pod: Pod) -> socket.socket:
    sock = pod.within(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
    sock.bind(("eth0", 0))
    return sock
