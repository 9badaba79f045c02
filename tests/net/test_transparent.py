"""What takes the capability is tested in tests/netns, where there is somebody to call."""

from __future__ import annotations

import socket

import pytest

from sidecar.net.transparent import make_transparent, source_ports, speak_for
from tests.net.capabilities import no_capabilities


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_without_the_capability_the_error_names_it(
    family: socket.AddressFamily,
) -> None:
    with socket.socket(family) as sock, no_capabilities():
        with pytest.raises(PermissionError) as caught:
            make_transparent(sock)
        assert caught.value.strerror == (
            "transparent needs the capability NET_ADMIN or NET_RAW"
        )
        with pytest.raises(PermissionError):
            speak_for(sock, "192.0.2.1", 0)


def test_ports_are_beyond_those_of_clients_and_the_last_is_any() -> None:
    ports = [*source_ports()]
    assert ports.pop() == 0
    assert len(ports) == 8
    assert all(61000 <= port <= 65535 for port in ports)
    assert len({port for _ in range(20) for port in source_ports()}) > 20
