"""Ensures that link-local addresses, whose interface redirection loses, stay shut."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.netns.captures import at
from tests.netns.pods import SECONDS
from tests.netns.world import APP, EXCLUDED_OUT
from tests.support.deadlines import eventually

if TYPE_CHECKING:
    from tests.netns.world import World


def endpoint(host: str, port: int) -> tuple[str, int, int, int]:
    return (host, port, 0, socket.if_nametoindex("eth0"))


def test_the_pods_own_refuses_callers_from_outside(world: World) -> None:
    host = world.api.pod.link_local

    def call() -> None:
        with socket.socket(socket.AF_INET6) as sock:
            sock.settimeout(SECONDS)
            sock.connect(endpoint(host, APP))
            assert sock.recv(1) == b""

    with pytest.raises(ConnectionResetError):
        world.stranger.within(call)

    def refused() -> set[str]:
        records = world.api.access_records()
        found = [each for each in records if each["source"].startswith("[fe80::")]
        return {each["outcome"] for each in found}

    assert eventually(refused, "the sidecar wrote of it") == {"no_destination"}


def test_anothers_is_not_reached_from_inside(world: World) -> None:
    """The call to an excluded port shows that the neighbour is known by then."""
    host = world.stranger.link_local

    def call(port: int) -> int:
        with socket.socket(socket.AF_INET6) as sock:
            sock.settimeout(SECONDS if port == EXCLUDED_OUT else 0)
            return sock.connect_ex(endpoint(host, port))

    with world.hub.capture("frontend") as seen:
        assert world.frontend.pod.within(lambda: call(EXCLUDED_OUT)) == 0
        world.frontend.pod.within(lambda: call(APP))
        assert at(host, EXCLUDED_OUT) in seen.ends()
        assert at(host, APP) not in seen.ends()
