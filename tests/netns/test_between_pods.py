"""Ensures that one pod's application reaches another's by mTLS alone."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.integration.callers import record_of
from tests.netns.calling import family_of, name_of, turned_away
from tests.netns.captures import at, tls_records
from tests.netns.pods import SECONDS, ask
from tests.netns.world import (
    API,
    APP,
    DENIED,
    EXCLUDED,
    FRONTEND,
    SECOND,
    last,
    marker,
)
from tests.support.programs import require

if TYPE_CHECKING:
    from tests.netns.captures import Capture
    from tests.netns.world import World

HANDSHAKE, APPLICATION_DATA = 22, 23  # RFC 8446, 5.1
ALPN = b"\x00\x0f\x0esidecar-mtls/1"
"""A list of one name, each after its length (RFC 7301, 3.1)."""
TLS13_CHOSEN = b"\x00\x2b\x00\x02\x03\x04"
"""The extension supported_versions, as a server answers it (RFC 8446, 4.2.1)."""


def test_an_application_reaches_another_by_mtls_alone(world: World, ipv6: bool) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    with world.hub.capture("api") as seen:
        with world.frontend.pod.connect(host, APP) as sock:
            source, answer = name_of(sock), ask(sock, path)
        assert answer == f"{host} {APP}"  # the application's, not the sidecar's
        outbound = record_of(world.frontend, source)
        inbound = last(world.api, peer=FRONTEND, destination=at(host, APP))
        assert not seen.shows(path.encode())
        assert not seen.shows(b"HTTP/1")
        asked, answered = both_ways(seen, at(host, APP))
    assert path in world.applications["api", APP].reached
    assert (outbound["outcome"], outbound["peer"]) == ("completed", API)
    assert (outbound["destination"], outbound["rule"]) == (at(host, APP), "api")
    assert inbound["upstream"] == at(host, APP)
    assert inbound["source"].startswith(at(world.frontend.pod.addresses[ipv6], 0)[:-1])
    (first, hello), *_ = asked
    assert (first, hello[:1]) == (HANDSHAKE, b"\x01")  # ClientHello
    assert ALPN in hello
    (first, hello), *_ = answered
    assert (first, hello[:1]) == (HANDSHAKE, b"\x02")  # ServerHello
    assert TLS13_CHOSEN in hello
    for records in (asked, answered):
        assert records[-1][0] == APPLICATION_DATA


def both_ways(
    seen: Capture, server: str
) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
    """Give the TLS records of the one connection to there, which has nothing else.

    What the sidecar calls its source need not be what is on the wire: where two
    connections that are turned to one port came from one, the kernel changes that.
    """
    streams = seen.streams()
    (client,) = {source for source, to in streams if to == server}
    asked, answered = streams[client, server], streams[server, client]
    return tls_records(asked), tls_records(answered)


def test_the_capture_would_show_what_is_plain(world: World, ipv6: bool) -> None:
    """The same call to a port that is redirected nowhere."""
    host, path = world.api.pod.addresses[ipv6], marker()
    with world.hub.capture("api") as seen:
        answer = world.frontend.pod.ask(host, EXCLUDED, path)
        assert answer == f"{host} {EXCLUDED}"
        assert path.encode() in seen.everything()
        with pytest.raises(AssertionError, match="no TLS record: b'GET /"):
            both_ways(seen, at(host, EXCLUDED))


@pytest.mark.parametrize("user", ["0", "1000", "65534"])
def test_whatever_its_user_is(world: World, ipv6: bool, user: str) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    who = ("--reuid", user, "--regid", user, "--clear-groups")
    curl = (require("curl"), "--silent", "--max-time", str(SECONDS))
    url = f"http://{at(host, APP)}{path}"
    with world.hub.capture("frontend") as seen:
        answer = world.frontend.pod.run(require("setpriv"), *who, *curl, url)
        assert answer == f"{host} {APP}"
        assert seen.shows(ALPN)
        assert not seen.shows(path.encode())


def test_every_port_of_a_pod_leads_to_its_own_application(
    world: World, ipv6: bool
) -> None:
    host = world.api.pod.addresses[ipv6]
    for port in (APP, SECOND):
        path = marker()
        with world.frontend.pod.connect(host, port) as sock:
            source, answer = name_of(sock), ask(sock, path)
        assert answer == f"{host} {port}"
        assert path in world.applications["api", port].reached
        assert record_of(world.frontend, source)["destination"] == at(host, port)
        assert last(world.api, destination=at(host, port))["peer"] == FRONTEND


def test_the_policy_judges_the_port_that_was_meant(world: World, ipv6: bool) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    turned_away(world.frontend.pod, host, DENIED, path)
    record = last(world.api, destination=at(host, DENIED), peer=FRONTEND)
    assert (record["outcome"], record["rule"]) == ("denied", "not-here")
    assert not world.reached(path)


def test_a_port_where_nobody_listens_is_refused(world: World, ipv6: bool) -> None:
    host = world.api.pod.addresses[ipv6]
    turned_away(world.frontend.pod, host, 7)
    record = last(world.api, destination=at(host, 7))
    assert (record["outcome"], record["peer"]) == ("upstream_refused", FRONTEND)


def test_probes_reach_the_sidecar_as_they_are(world: World, ipv6: bool) -> None:
    before = world.api.connections()
    host = world.api.pod.addresses[ipv6]
    with world.stranger.connect(host, 15020) as sock:
        sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
    assert world.api.connections() == before


def test_datagrams_go_as_they_are(world: World, ipv6: bool) -> None:
    host = world.api.pod.addresses[ipv6]
    with world.frontend.pod.within(
        lambda: socket.socket(family_of(host), socket.SOCK_DGRAM)
    ) as sock:
        sock.settimeout(SECONDS)
        sock.sendto(b"a datagram", (host, APP))
        data, sender = sock.recvfrom(100)
    assert (data, sender[:2]) == (b"a datagram", (host, APP))
