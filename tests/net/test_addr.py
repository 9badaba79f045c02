from __future__ import annotations

import socket

import pytest

from sidecar.config.model import Endpoint
from sidecar.net.addr import endpoint_of, plain_host


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::1", "::1"),
        ("::", "::"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("fe80::1%eth0.100", "fe80::1%eth0.100"),
        (
            "::ffff:0:0",
            "::ffff:0:0",
        ),  # how glibc writes ::ffff:0:0 and not a mapped one
        ("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.1"),  # translated, not mapped
    ],
)
def test_a_mapped_address_is_one_of_ipv4(host: str, plain: str) -> None:
    assert plain_host(host) == plain


def test_the_kernel_writes_mapped_addresses_so() -> None:
    packed = bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 1])
    written = socket.inet_ntop(socket.AF_INET6, packed)
    assert plain_host(written) == "192.0.2.1"


@pytest.mark.parametrize(
    ("sockaddr", "endpoint"),
    [
        (("192.0.2.1", 80), Endpoint("192.0.2.1", 80)),
        (("::ffff:192.0.2.1", 80, 0, 0), Endpoint("192.0.2.1", 80)),
        (("2001:db8::1", 80, 0, 0), Endpoint("2001:db8::1", 80)),
        (("fe80::1%lo", 80, 0, 1), Endpoint("fe80::1%lo", 80)),
    ],
)
def test_a_socket_address_is_an_endpoint(
    sockaddr: tuple[object, ...], endpoint: Endpoint
) -> None:
    assert endpoint_of(sockaddr) == endpoint
