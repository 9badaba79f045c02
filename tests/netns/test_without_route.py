"""Ensures that no destination is reached in plaintext that no route leads to so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.callers import record_of
from tests.netns.calling import name_of, turned_away
from tests.netns.captures import at
from tests.netns.pods import ask
from tests.netns.world import APP, CLOSED, PLAIN, marker

if TYPE_CHECKING:
    from tests.netns.world import World


def test_a_destination_without_a_route_is_not_reached(world: World, ipv6: bool) -> None:
    host, path = world.stranger.addresses[ipv6], marker()
    with world.hub.capture("frontend") as seen:
        source = turned_away(world.frontend.pod, host, APP, path)
        record = record_of(world.frontend, source)
        assert at(host, APP) not in seen.ends()
    assert (record["outcome"], record["destination"]) == ("no_route", at(host, APP))
    assert not world.reached(path)


def test_a_destination_that_a_route_closes_is_not_reached(
    world: World, ipv6: bool
) -> None:
    host, path = world.stranger.addresses[ipv6], marker()
    with world.hub.capture("frontend") as seen:
        source = turned_away(world.frontend.pod, host, CLOSED, path)
        record = record_of(world.frontend, source)
        assert at(host, CLOSED) not in seen.ends()
    assert (record["outcome"], record["rule"]) == ("denied", "closed")
    assert not world.reached(path)


def test_a_destination_with_a_plaintext_route_is_reached_in_plain(
    world: World, ipv6: bool
) -> None:
    host, path = world.stranger.addresses[ipv6], marker()
    with world.hub.capture("frontend") as seen:
        with world.frontend.pod.connect(host, PLAIN) as sock:
            source, answer = name_of(sock), ask(sock, path)
        assert at(host, PLAIN) in seen.ends()
        assert seen.shows(path.encode())
    assert answer == f"{host} {PLAIN}"
    record = record_of(world.frontend, source)
    assert (record["outcome"], record["rule"]) == ("completed", "plain")


def test_a_destination_without_a_route_is_reached_where_that_is_the_default(
    world: World, ipv6: bool
) -> None:
    host, path = world.stranger.addresses[ipv6], marker()
    with world.hub.capture("api") as seen:
        with world.api.pod.connect(host, APP) as sock:
            source, answer = name_of(sock), ask(sock, path)
        assert seen.shows(path.encode())
    assert answer == f"{host} {APP}"
    record = record_of(world.api, source)
    assert (record["outcome"], record.get("rule")) == ("completed", None)
    assert (record["direction"], record["destination"]) == ("outbound", at(host, APP))
