"""Ensures that a listener that is called itself leads nowhere, and never in circles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from OpenSSL import SSL

from tests.integration.callers import record_of
from tests.netns.calling import tls, turned_away
from tests.netns.captures import at
from tests.netns.world import FRONTEND, LOOPBACK, last
from tests.support.deadlines import eventually

if TYPE_CHECKING:
    from tests.netns.world import World


def test_the_inbound_one_from_outside(world: World, ipv6: bool) -> None:
    host = world.api.pod.addresses[ipv6]
    before = world.api.connections()
    source = turned_away(world.stranger, host, 15006)
    assert record_of(world.api, source)["outcome"] == "no_destination"
    assert world.api.connections() == before + 1


def test_the_inbound_one_from_outside_with_a_certificate(
    world: World, ipv6: bool
) -> None:
    host = world.api.pod.addresses[ipv6]
    before = world.api.connections()
    with (
        pytest.raises((SSL.Error, ConnectionResetError)),
        tls(world.stranger, host, 15006, world.svid),
    ):
        pass
    eventually(lambda: world.api.connections() == before + 1, "one, and no more")
    last(world.api, outcome="no_destination")


@pytest.mark.parametrize("port", [15000, 15001])
def test_what_listens_on_loopback_alone_from_outside(
    world: World, ipv6: bool, port: int
) -> None:
    """Turned to 15006, where it is judged like any port."""
    host = world.api.pod.addresses[ipv6]
    before = world.api.connections()
    source = turned_away(world.stranger, host, port)
    record = record_of(world.api, source)
    assert (record["direction"], record["reason"]) == ("inbound", "plaintext")
    # Who may call every port finds nobody there: it is the loopback's.
    with (
        tls(world.stranger, host, port, world.svid) as (source, connection),
        pytest.raises(SSL.Error),
    ):
        connection.recv(1)
    record = record_of(world.api, source)
    assert (record["outcome"], record["peer"]) == ("upstream_refused", FRONTEND)
    assert record["destination"] == at(host, port)
    assert world.api.connections() == before + 2


def test_from_inside(world: World, ipv6: bool) -> None:
    """Where the default is plaintext, and a circle would be nearest."""
    own = world.api.pod.addresses[ipv6]
    before = world.api.connections()
    for host, port in (
        (LOOPBACK[ipv6], 15001),
        (LOOPBACK[ipv6], 15006),
        (own, 15006),
    ):
        source = turned_away(world.api.pod, host, port)
        assert record_of(world.api, source)["outcome"] == "no_destination"
    with pytest.raises(ConnectionRefusedError):
        world.api.pod.connect(own, 15001)
    assert world.api.connections() == before + 3


@pytest.mark.parametrize("port", [15000, 15001, 15006])
def test_those_of_another_pod_from_inside(world: World, ipv6: bool, port: int) -> None:
    host = world.api.pod.addresses[ipv6]
    before = world.api.connections()
    turned_away(world.frontend.pod, host, port)
    record = last(world.frontend, destination=at(host, port))
    assert record["direction"] == "outbound"
    eventually(lambda: world.api.connections() == before + 1, "one, and no more")


def test_those_of_another_pod_from_inside_in_plain(world: World, ipv6: bool) -> None:
    """From where the default is plaintext, to where no route leads back."""
    host = world.frontend.pod.addresses[ipv6]
    before = world.frontend.connections()
    for port in (15001, 15006):
        turned_away(world.api.pod, host, port)
    eventually(lambda: world.frontend.connections() == before + 2, "and no more")
