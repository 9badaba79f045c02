from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from sidecar.config.model import Endpoint
from sidecar.net.original_dst import OriginalDstError, decode, original_dst

if TYPE_CHECKING:
    import ipaddress
    from collections.abc import Iterator


def sockaddr_in(host: str, port: int) -> bytes:
    return struct.pack(
        "=H2s4s8x",
        socket.AF_INET,
        port.to_bytes(2, "big"),
        socket.inet_aton(host),
    )


def sockaddr_in6(host: str, port: int, *, flow: int = 0, scope: int = 0) -> bytes:
    return struct.pack(
        "=H2sI16sI",
        socket.AF_INET6,
        port.to_bytes(2, "big"),
        flow,
        socket.inet_pton(socket.AF_INET6, host),
        scope,
    )


V4 = sockaddr_in("192.0.2.1", 8080)
V6 = sockaddr_in6("2001:db8::1", 8080)


# --- what the kernel writes


@pytest.mark.parametrize(
    ("data", "endpoint"),
    [
        (V4, Endpoint("192.0.2.1", 8080)),
        (V6, Endpoint("2001:db8::1", 8080)),
        (sockaddr_in("0.0.0.0", 0), Endpoint("0.0.0.0", 0)),
        (sockaddr_in("255.255.255.255", 65535), Endpoint("255.255.255.255", 65535)),
        (sockaddr_in6("::ffff:192.0.2.1", 80), Endpoint("192.0.2.1", 80)),
        (sockaddr_in6("::", 1), Endpoint("::", 1)),
        (sockaddr_in6("fe80::1", 1, flow=7, scope=2), Endpoint("fe80::1", 1)),
        (V4[:8] + b"\xff" * 8, Endpoint("192.0.2.1", 8080)),  # padding says nothing
    ],
    ids=repr,
)
def test_a_socket_address_is_read(data: bytes, endpoint: Endpoint) -> None:
    assert decode(data) == endpoint


@given(st.ip_addresses(), st.integers(0, 65535))
def test_what_is_written_is_read(
    host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    write = sockaddr_in if host.version == 4 else sockaddr_in6
    plain = getattr(host, "ipv4_mapped", None) or host
    assert decode(write(str(host), port)) == Endpoint(str(plain), port)


@pytest.mark.parametrize("whole", [V4, V6], ids=["IPv4", "IPv6"])
def test_no_prefix_is_an_address(whole: bytes) -> None:
    for end in range(len(whole)):
        with pytest.raises(OriginalDstError):
            decode(whole[:end])


@pytest.mark.parametrize("whole", [V4, V6], ids=["IPv4", "IPv6"])
def test_nothing_may_follow_an_address(whole: bytes) -> None:
    with pytest.raises(OriginalDstError):
        decode(whole + b"\0")


@pytest.mark.parametrize("family", [0, 1, 3, 16, 255])
@pytest.mark.parametrize("size", [16, 28])
def test_another_family_is_none_of_ours(family: int, size: int) -> None:
    data = family.to_bytes(2, sys.byteorder) + bytes(size - 2)
    with pytest.raises(OriginalDstError, match=data.hex()):
        decode(data)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(OriginalDstError):
        assert decode(data).port in range(65536)


# --- asking the kernel


@contextlib.contextmanager
def accepted(listen: str, dial: str) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.socket(family) as listener:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((listen, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection((dial, port)):
            sock, _ = listener.accept()
            with sock:
                yield sock


LOOPBACK = pytest.mark.parametrize(
    ("listen", "dial"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("::", "::1"),
        ("::", "127.0.0.1"),
    ],
    ids=["IPv4", "IPv6", "both, IPv6", "both, IPv4"],
)


@LOOPBACK
def test_a_connection_that_was_not_redirected_has_none(listen: str, dial: str) -> None:
    with accepted(listen, dial) as sock:
        assert original_dst(sock) is None


class Tracked(socket.socket):
    """A connection in the kernel's tables, which say where it was going."""

    going = Endpoint("", 0)
    asked: tuple[object, ...] = ()

    def getsockopt(self, *asked: int) -> bytes:  # type: ignore[override]
        self.asked = asked
        host, port = self.going.host, self.going.port
        return (sockaddr_in6 if ":" in host else sockaddr_in)(host, port)


@LOOPBACK
def test_a_connection_that_is_tracked_and_not_redirected_has_none(
    listen: str, dial: str
) -> None:
    with accepted(listen, dial) as sock, Tracked(fileno=sock.detach()) as tracked:
        tracked.going = Endpoint(dial, tracked.getsockname()[1])
        assert original_dst(tracked) is None
        assert tracked.asked


@LOOPBACK
def test_the_tables_of_the_address_s_own_family_are_asked(
    listen: str, dial: str
) -> None:
    with accepted(listen, dial) as sock, Tracked(fileno=sock.detach()) as tracked:
        tracked.going = Endpoint("2001:db8::1" if ":" in dial else "192.0.2.1", 80)
        assert original_dst(tracked) == tracked.going
        assert tracked.asked == ((41, 80, 28) if ":" in dial else (0, 80, 16))


class Zoned(Tracked):
    """A connection over a VLAN, whose address is of that link only."""

    def getsockname(self) -> tuple[str, int, int, int]:
        return "fe80::1%eth0.100", 15006, 0, 2


def test_a_zone_with_a_dot_is_no_ipv4() -> None:
    with Zoned(socket.AF_INET6) as zoned:
        zoned.going = Endpoint("fe80::1", 8080)
        assert original_dst(zoned) == zoned.going
        assert zoned.asked == (41, 80, 28)
        zoned.going = Endpoint("fe80::1", 15006)
        assert original_dst(zoned) is None


class Untracked(socket.socket):
    def getsockopt(self, *_: int) -> bytes:  # type: ignore[override]
        raise OSError(errno.ENOENT, "no such entry")


def test_a_kernel_that_does_not_know_is_none() -> None:
    with (
        accepted("127.0.0.1", "127.0.0.1") as sock,
        Untracked(fileno=sock.detach()) as untracked,
    ):
        assert original_dst(untracked) is None
