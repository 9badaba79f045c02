"""What goes by on a wire, as tcpdump writes it down, and what TCP makes of it."""

from __future__ import annotations

import secrets
import socket
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Self

from attrs import define, field, frozen

from tests.support.deadlines import eventually
from tests.support.processes import Process
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from tests.netns.pods import Namespace

ETHERNET: Final = 14
IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"
_EXPERIMENTAL: Final = 0x88B5
"""An EtherType that nobody answers (IEEE Std 802, local experimental)."""
TCP: Final = 6
ROUTING: Final = 43
"""The extension header that says by way of whom (RFC 8200, 4.4)."""
_FILE_HEADER: Final = struct.Struct("=IHHiIII")
_FRAME_HEADER: Final = struct.Struct("=IIII")
_MAGIC: Final = 0xA1B2C3D4
"""Of a file whose times are microseconds, in our own order of bytes (pcap-savefile)."""
FIN, SYN, RST, ACK = 1, 2, 4, 16

Direction = tuple[str, str]
"""From where to where; each as the access log writes it."""


class Capture(Process):
    """Every frame on one interface, as long as the `with` block lasts."""

    def __init__(self, space: Namespace, interface: str, folder: Path) -> None:
        # -U: each frame is written at once; -Z: the folder is root's.
        how = ("-n", "-U", "--immediate-mode", "-B", "65536", "-Z", "root")
        words = (require("tcpdump"), "-i", interface, *how, "-w", "-")
        super().__init__(space.command(*words), folder, f"tcpdump-{interface}")
        self._space = space
        self._interface = interface

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.wait_for_line("listening on")
        except BaseException:
            super().__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        lost = "0 packets dropped by kernel" not in self.errors()
        super().__exit__(kind, error, trace)
        assert not lost, "tcpdump was too slow to see everything"

    def output(self) -> str:
        """Not the frames: a failing test would show them."""
        return f"{self.stdout.stat().st_size} bytes"

    def everything(self) -> bytes:
        """Give the file of tcpdump, with all that went by until now."""
        mark = secrets.token_bytes(40)
        sock = self._space.within(
            lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        )
        with sock:
            sock.bind((self._interface, _EXPERIMENTAL))
            sock.send(bytes(12) + _EXPERIMENTAL.to_bytes(2, "big") + mark)
        read = self.stdout.read_bytes
        eventually(lambda: mark in read(), "tcpdump wrote down what went by last")
        return read()

    def shows(self, data: bytes) -> bool:
        """Whether this went by, whole and in plain."""
        return data in self.everything() or any(
            data in stream for stream in self.streams().values()
        )

    def frames(self) -> Iterator[bytes]:
        raw = self.everything()
        assert _FILE_HEADER.unpack_from(raw)[0] == _MAGIC
        place = _FILE_HEADER.size
        while place < len(raw):
            _, _, kept, size = _FRAME_HEADER.unpack_from(raw, place)
            assert kept == size
            place += _FRAME_HEADER.size + size
            yield raw[place - size : place]

    def segments(self) -> list[Segment]:
        """Give all TCP that went by."""
        found = (Segment.parse(frame) for frame in self.frames())
        return [each for each in found if each is not None]

    def ends(self) -> set[str]:
        """Give the addresses from which and to which TCP went by."""
        return {
            end
            for segment in self.segments()
            for end in (segment.source, segment.destination)
        }

    def streams(self) -> dict[Direction, bytes]:
        """Give what was sent by TCP, from where to where, put together."""
        streams: dict[Direction, Stream] = {}
        for segment in self.segments():
            direction = segment.source, segment.destination
            if segment.flags & SYN:
                streams[direction] = Stream(segment.number + 1)
            elif segment.payload and direction in streams:
                streams[direction].add(segment)
        return {direction: bytes(each.data) for direction, each in streams.items()}


@frozen
class Segment:
    """One segment of TCP (RFC 9293, 3.1)."""

    sender: bytes
    """The MAC address."""
    source: str
    destination: str
    number: int
    flags: int
    payload: bytes

    @classmethod
    def parse(cls, frame: bytes) -> Segment | None:
        packet = frame[ETHERNET:]
        if frame[12:14] == IPV4:
            hosts, start = (packet[12:16], packet[16:20]), (packet[0] & 15) * 4
            end, following = int.from_bytes(packet[2:4], "big"), packet[9]
        elif frame[12:14] == IPV6:
            hosts, start = (packet[8:24], packet[24:40]), 40
            end, following = 40 + int.from_bytes(packet[4:6], "big"), packet[6]
        else:
            return None
        if following == ROUTING:
            following, start = packet[start], start + 8 + packet[start + 1] * 8
        if following != TCP:
            return None
        ports = struct.unpack_from("!HH", packet, start)
        number, flags = struct.unpack_from("!I5xB", packet, start + 4)
        payload = start + (packet[start + 12] >> 4) * 4
        source, destination = map(at, map(str, map(ip_address, hosts)), ports)
        sender, data = frame[6:12], packet[payload:end]
        return cls(sender, source, destination, number, flags, data)


@define
class Stream:
    """What one side of a connection sent, in order."""

    first: int
    data: bytearray = field(factory=bytearray)

    def add(self, segment: Segment) -> None:
        place = (segment.number - self.first) % (1 << 32)
        assert place <= len(self.data), "a segment is missing"
        self.data[place : place + len(segment.payload)] = segment.payload


def at(host: str, port: int) -> str:
    """Write an address as the access log does."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def tls_records(stream: bytes) -> list[tuple[int, bytes]]:
    """Give type and content of each record; there is nothing else (RFC 8446, 5.1)."""
    records = []
    place = 0
    while place < len(stream):
        kind, version, size = struct.unpack_from("!BHH", stream, place)
        assert 20 <= kind <= 23, f"no TLS record: {stream[place : place + 40]!r}"
        assert 0x0301 <= version <= 0x0303
        place += 5 + size
        assert place <= len(stream), "a record is cut short"
        records.append((kind, stream[place - size : place]))
    return records
