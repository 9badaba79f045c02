"""Ensures that who has no sidecar gets what the port's mode and the policy say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from OpenSSL import SSL

from tests.integration.callers import record_of
from tests.netns.calling import ask_over, name_of, tls, turned_away
from tests.netns.captures import at
from tests.netns.pods import ask
from tests.netns.world import (
    APP,
    FRONTEND,
    GUARDED,
    PERMISSIVE,
    SECOND,
    last,
    marker,
)
from tests.support.pki import new_authority, write_svid

if TYPE_CHECKING:
    from pathlib import Path

    from tests.netns.world import World


def test_a_strict_port_refuses_plaintext(world: World, ipv6: bool) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    source = turned_away(world.stranger, host, APP, path)
    record = record_of(world.api, source)
    assert (record["reason"], record["destination"]) == ("plaintext", at(host, APP))
    assert "upstream" not in record
    assert not world.reached(path)


@pytest.mark.parametrize("port", [APP, SECOND])
def test_a_strict_port_refuses_who_shows_no_certificate(
    world: World, ipv6: bool, port: int
) -> None:
    host = world.api.pod.addresses[ipv6]
    with (
        tls(world.stranger, host, port, None) as (source, connection),
        pytest.raises(SSL.Error),
    ):
        connection.recv(1)
    record = record_of(world.api, source)
    assert (record["reason"], record.get("upstream")) == ("no_certificate", None)


@pytest.mark.parametrize("port", [APP, SECOND])
def test_who_has_a_certificate_needs_no_sidecar(
    world: World, ipv6: bool, port: int
) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    with tls(world.stranger, host, port, world.svid) as (source, connection):
        assert ask_over(connection, path)
    record = record_of(world.api, source)
    assert (record["outcome"], record["peer"]) == ("completed", FRONTEND)
    assert path in world.applications["api", port].reached


def test_a_certificate_that_anybody_made_is_refused(
    world: World, ipv6: bool, tmp_path: Path
) -> None:
    """It says that it is the frontend's, and another authority signed it."""
    forged = write_svid(tmp_path, new_authority(), FRONTEND)
    host = world.api.pod.addresses[ipv6]
    with (
        tls(world.hostile, host, APP, forged) as (source, connection),
        pytest.raises(SSL.Error),
    ):
        connection.recv(1)
    record = record_of(world.api, source)
    assert (record["reason"], record.get("upstream")) == ("untrusted_chain", None)


def test_a_permissive_port_takes_plaintext_that_the_policy_allows(
    world: World, ipv6: bool
) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    with world.stranger.connect(host, PERMISSIVE) as sock:
        source, answer = name_of(sock), ask(sock, path)
    assert answer == f"{host} {PERMISSIVE}"
    record = record_of(world.api, source)
    assert (record["outcome"], record.get("peer")) == ("completed", None)
    assert (record["rule"], record.get("tls")) == ("anybody", None)


def test_a_permissive_port_refuses_plaintext_that_it_does_not(
    world: World, ipv6: bool
) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    source = turned_away(world.stranger, host, GUARDED, path)
    record = record_of(world.api, source)
    assert (record["outcome"], record.get("upstream")) == ("denied", None)
    assert not world.reached(path)


@pytest.mark.parametrize("port", [PERMISSIVE, GUARDED])
def test_a_permissive_port_takes_mtls_of_who_has_a_sidecar(
    world: World, ipv6: bool, port: int
) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    with world.hub.capture("api") as seen:
        assert world.frontend.pod.ask(host, port, path) == f"{host} {port}"
        assert not seen.shows(path.encode())
    record = last(world.api, destination=at(host, port), peer=FRONTEND)
    assert record["outcome"] == "completed"
