from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from sidecar.net.local import is_for_us, is_local
from tests.net.no_ipv6 import forget_ipv6


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::1%lo"]
)
def test_loopback_and_wildcards_lead_back_here(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "198.51.100.7", "2001:db8::1", "fe80::1234%lo"]
)
def test_the_addresses_of_others_do_not(host: str) -> None:
    assert not is_local(host)


def test_without_ipv6_no_address_of_it_is_ours() -> None:
    def ours() -> tuple[bool, bool]:
        forget_ipv6()
        return is_local("2001:db8::1"), is_local("::1")

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(ours).result() == (False, True)


def test_an_address_that_the_kernel_lets_us_have_is_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No test can count on an interface beside lo: this one's addresses are all ours.
    bound: list[object] = []

    class Everywhere(socket.socket):
        def bind(self, address: object) -> None:
            bound.append((self.family, self.type, address))

    monkeypatch.setattr(socket, "socket", Everywhere)
    assert is_local("192.0.2.1")
    assert is_local("2001:db8::1%eth0")
    udp = socket.SOCK_DGRAM
    assert bound == [
        (socket.AF_INET, udp, ("192.0.2.1", 0)),
        (socket.AF_INET6, udp, ("2001:db8::1%eth0", 0)),
    ]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "::1%lo", "0.0.0.0", "::"]
)
def test_loopback_and_wildcards_are_for_those_who_are_here(host: str) -> None:
    assert is_for_us(host, "127.0.0.1")
    assert is_for_us(host, "::1")
    assert not is_for_us(host, "192.0.2.1")
    assert not is_for_us(host, "2001:db8::1")


def test_the_addresses_of_others_are_for_nobody_here() -> None:
    assert not is_for_us("192.0.2.1", "127.0.0.1")


def test_other_addresses_of_ours_are_for_everybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Everywhere(socket.socket):
        def bind(self, address: object) -> None:
            """Let it have any, as in the test above."""

    monkeypatch.setattr(socket, "socket", Everywhere)
    assert is_for_us("192.0.2.1", "198.51.100.7")
