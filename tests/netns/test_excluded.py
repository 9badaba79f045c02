"""Ensures that what is excluded goes round the sidecar, and nothing else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.callers import record_of
from tests.netns.calling import name_of, turned_away
from tests.netns.captures import at
from tests.netns.world import (
    APP,
    EXCLUDED,
    EXCLUDED_IN,
    EXCLUDED_OUT,
    NODE,
    last,
    marker,
)

if TYPE_CHECKING:
    from tests.netns.world import World


def test_a_port_excluded_by_both_goes_round_both(world: World, ipv6: bool) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    before = world.api.connections(), world.frontend.connections()
    with world.hub.capture("api") as seen:
        assert world.frontend.pod.ask(host, EXCLUDED, path) == f"{host} {EXCLUDED}"
        assert seen.shows(path.encode())
    assert (world.api.connections(), world.frontend.connections()) == before


def test_an_excluded_inbound_port_is_open_to_anybody(world: World, ipv6: bool) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    before = world.api.connections()
    assert world.stranger.ask(host, EXCLUDED_IN, path) == f"{host} {EXCLUDED_IN}"
    assert world.api.connections() == before


def test_an_excluded_inbound_port_is_still_called_through_the_callers_sidecar(
    world: World, ipv6: bool
) -> None:
    """Its route says mTLS, which the application does not speak: it fails closed."""
    host, path = world.api.pod.addresses[ipv6], marker()
    before = world.api.connections()
    with world.hub.capture("frontend") as seen:
        source = turned_away(world.frontend.pod, host, EXCLUDED_IN, path)
        record = record_of(world.frontend, source)
        assert not seen.shows(path.encode())
    assert (record["outcome"], record["rule"]) == ("handshake_failed", "api")
    assert world.api.connections() == before
    assert not world.reached(path)


def test_an_excluded_outbound_port_is_called_in_plain(world: World, ipv6: bool) -> None:
    host, path = world.stranger.addresses[ipv6], marker()
    before = world.frontend.connections()
    with world.hub.capture("frontend") as seen:
        answer = world.frontend.pod.ask(host, EXCLUDED_OUT, path)
        assert answer == f"{host} {EXCLUDED_OUT}"
        assert seen.shows(path.encode())
    assert world.frontend.connections() == before


def test_an_excluded_outbound_port_is_still_guarded_inbound(
    world: World, ipv6: bool
) -> None:
    host, path = world.frontend.pod.addresses[ipv6], marker()
    source = turned_away(world.stranger, host, EXCLUDED_OUT, path)
    assert record_of(world.frontend, source)["reason"] == "plaintext"
    # The other sidecar lets its own application by, and this one guards its port.
    turned_away(world.api.pod, host, EXCLUDED_OUT, path)
    last(world.frontend, destination=at(host, EXCLUDED_OUT), reason="plaintext")
    assert not world.reached(path)


def test_an_excluded_network_is_called_in_plain(world: World, ipv6: bool) -> None:
    path = marker()
    before = world.frontend.connections()
    with world.hub.capture("frontend") as seen:
        assert world.frontend.pod.ask(NODE[ipv6], APP, path) == f"{NODE[ipv6]} {APP}"
        assert seen.shows(path.encode())
    assert world.frontend.connections() == before


def test_its_neighbour_is_not(world: World, ipv6: bool) -> None:
    """The node has an address in the pods' own network, too."""
    host, path = ("10.77.0.1", "fd77::1")[ipv6], marker()
    source = turned_away(world.frontend.pod, host, APP, path)
    assert record_of(world.frontend, source)["outcome"] == "no_route"
    assert not world.reached(path)


def test_a_network_that_another_pod_excludes_is_not_either(
    world: World, ipv6: bool
) -> None:
    with world.api.pod.connect(NODE[ipv6], APP) as sock:
        source = name_of(sock)
    assert record_of(world.api, source)["destination"] == at(NODE[ipv6], APP)
