"""Ensures that the rules turn a pod's TCP to its sidecar: all of it, and in no circle."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from OpenSSL import SSL

from tests.integration.callers import record_of, wrap
from tests.netns.conftest import API, APP, EXCLUDED, FRONTEND, SERVICES
from tests.netns.pods import SECONDS, ask
from tests.support.deadlines import eventually
from tests.support.programs import require

if TYPE_CHECKING:
    from tests.netns.conftest import World
    from tests.netns.pods import Pod
    from tests.support.sidecars import Record, Sidecar

pytestmark = pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])

TLS_RECORD = bytes([23, 3, 3])
LOOPBACK = ("127.0.0.1", "::1")


def at(host: str, port: int) -> str:
    """What a record calls an address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def marker() -> str:
    return f"/{secrets.token_hex(20)}"


def last(sidecar: Sidecar, **facts: str) -> Record:
    """Give the last record that says so, when there is one."""

    def found() -> list[Record]:
        records = sidecar.access_records()
        return [each for each in records if facts.items() <= each.items()]

    return eventually(found, f"{sidecar.name} wrote a record of {facts}")[-1]


def test_an_application_reaches_another_by_mtls_alone(world: World, ipv6: bool) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    with world.hub.capture("api") as seen:
        with world.frontend.pod.connect(host, APP) as sock:
            source, answer = name_of_any(sock), ask(sock, path)
        assert seen.bytes() > 1000
        assert seen.shows(TLS_RECORD)
        assert not seen.shows(b"HTTP/1")
        assert not seen.shows(path.encode())
    assert answer == f"{host} {APP}"  # the application's address, not the sidecar's
    assert path in world.applications["api", APP].reached
    outbound = record_of(world.frontend, source)
    assert (outbound["outcome"], outbound["peer"]) == ("completed", API)
    assert (outbound["destination"], outbound["rule"]) == (at(host, APP), "api")
    inbound = last(world.api, peer=FRONTEND, destination=at(host, APP))
    assert inbound["upstream"] == at(host, APP)
    assert inbound["source"].startswith(at(world.frontend.pod.addresses[ipv6], 0)[:-1])


def name_of_any(sock: socket.socket) -> str:
    return at(*sock.getsockname()[:2])


@pytest.mark.parametrize("user", ["0", "1000", "65534"])
def test_whatever_its_user_is(world: World, ipv6: bool, user: str) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    who = ("--reuid", user, "--regid", user, "--clear-groups")
    with world.hub.capture("frontend") as seen:
        answer = world.frontend.pod.run(
            *(
                require("setpriv"),
                *who,
                require("curl"),
                "--silent",
                "--max-time",
                "10",
            ),
            f"http://{at(host, APP)}{path}",
        )
        assert answer == f"{host} {APP}"
        assert seen.bytes() > 1000
        assert not seen.shows(path.encode())


def test_who_has_no_sidecar_does_not_reach_the_application(
    world: World, ipv6: bool
) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    source = turned_away(world.stranger, host, APP, path)
    record = record_of(world.api, source)
    assert (record["reason"], record["destination"]) == ("plaintext", at(host, APP))
    with world.stranger.connect(host, APP) as sock:
        source, connection = name_of_any(sock), wrap(sock, None)
        with pytest.raises(SSL.Error):
            connection.recv(1)
    assert record_of(world.api, source)["reason"] == "no_certificate"
    assert path not in world.applications["api", APP].reached


def test_who_has_a_certificate_needs_no_sidecar(world: World, ipv6: bool) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    with world.stranger.connect(host, APP) as sock:
        source, connection = name_of_any(sock), wrap(sock, world.svid)
        connection.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        assert connection.recv(100)
        connection.shutdown()
    record = record_of(world.api, source)
    assert (record["outcome"], record["peer"]) == ("completed", FRONTEND)
    assert path in world.applications["api", APP].reached


def test_an_excluded_port_goes_round_in_both_directions(
    world: World, ipv6: bool
) -> None:
    host, path = world.api.pod.addresses[ipv6], marker()
    before = world.api.connections(), world.frontend.connections()
    with world.hub.capture("api") as seen:
        assert world.frontend.pod.ask(host, EXCLUDED, path) == f"{host} {EXCLUDED}"
        assert seen.shows(path.encode())  # and so the capture sees what is plain
    assert (world.api.connections(), world.frontend.connections()) == before


def test_probes_reach_the_sidecar_as_they_are(world: World, ipv6: bool) -> None:
    before = world.api.connections()
    host = world.api.pod.addresses[ipv6]
    with world.stranger.connect(host, 15020) as sock:
        sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
    assert world.api.connections() == before


def test_a_destination_without_a_route_is_not_reached(world: World, ipv6: bool) -> None:
    host, path = world.stranger.addresses[ipv6], marker()
    source = turned_away(world.frontend.pod, host, APP, path)
    record = record_of(world.frontend, source)
    assert (record["outcome"], record["destination"]) == ("no_route", at(host, APP))
    assert path not in world.applications["stranger", APP].reached


def test_an_application_reaches_itself_directly(world: World, ipv6: bool) -> None:
    before = world.api.connections()
    for host in (LOOPBACK[ipv6], world.api.pod.addresses[ipv6]):
        assert world.api.pod.ask(host, APP) == f"{host} {APP}"
    assert world.api.connections() == before


def test_an_application_reaches_itself_by_a_service_address_with_mtls(
    world: World, ipv6: bool
) -> None:
    own, service, path = world.api.pod.addresses[ipv6], SERVICES[ipv6], marker()
    before = world.api.connections()
    with world.hub.capture("api") as seen, world.api.pod.connect(service, APP) as sock:
        source, answer = name_of_any(sock), ask(sock, path)
        sock.close()
        outbound = record_of(world.api, source)
        assert answer == f"{own} {APP}"
        assert seen.bytes() > 1000
        assert not seen.shows(path.encode())
    assert (outbound["destination"], outbound["peer"]) == (at(service, APP), API)
    inbound = last(world.api, peer=API, destination=at(own, APP))
    assert inbound["outcome"] == "completed"
    assert world.api.connections() == before + 2  # out and in, and no circle


@pytest.mark.parametrize("port", [15001, 15006])
def test_a_listener_called_from_outside_leads_nowhere(
    world: World, ipv6: bool, port: int
) -> None:
    host = world.api.pod.addresses[ipv6]
    before = world.api.connections()
    source = turned_away(world.stranger, host, port)
    record = record_of(world.api, source)
    if port == 15006:
        assert record["outcome"] == "no_destination"
        assert world.api.connections() == before + 1
        return
    # Turned to 15006, where it is judged like any port: plaintext is refused,
    assert (record["direction"], record["reason"]) == ("inbound", "plaintext")
    # and who may call every port finds nobody there: it is the loopback's.
    with world.stranger.connect(host, port) as sock:
        source, connection = name_of_any(sock), wrap(sock, world.svid)
        with pytest.raises((SSL.Error, SSL.SysCallError)):
            connection.recv(1)
    record = record_of(world.api, source)
    assert (record["outcome"], record["destination"]) == (
        "upstream_refused",
        at(host, port),
    )
    assert world.api.connections() == before + 2


def turned_away(pod: Pod, host: str, port: int, path: str = "/") -> str:
    """Call in plain, and see it end without an answer; give the caller's name.

    A reset may come before connecting has ended.
    """
    own = pod.addresses[":" in host]
    source = host if host in {own, *LOOPBACK} else own
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with pod.within(lambda: socket.socket(family)) as sock:
        sock.settimeout(SECONDS)
        sock.bind((source, 0))
        name = name_of_any(sock)
        with suppress(ConnectionResetError, BrokenPipeError):
            sock.connect((host, port))
            sock.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
            assert sock.recv(1) == b""
    return name


def test_the_listeners_called_from_inside_lead_nowhere(
    world: World, ipv6: bool
) -> None:
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


def test_an_application_cannot_reach_the_listeners_of_another_pod(
    world: World, ipv6: bool
) -> None:
    host = world.api.pod.addresses[ipv6]
    before = world.api.connections()
    for port in (15001, 15006, 15000):
        turned_away(world.frontend.pod, host, port)
    eventually(lambda: world.api.connections() == before + 3, "three, and no more")


def test_datagrams_go_as_they_are(world: World, ipv6: bool) -> None:
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    sock = world.frontend.pod.within(lambda: socket.socket(family, socket.SOCK_DGRAM))
    with sock:
        sock.settimeout(SECONDS)
        sock.sendto(b"a datagram", (world.api.pod.addresses[ipv6], APP))
        data, sender = sock.recvfrom(100)
    assert (data, sender[:2]) == (b"a datagram", (world.api.pod.addresses[ipv6], APP))


def test_a_neighbour_cannot_go_through_a_pod_to_somewhere_else(
    world: World, ipv6: bool
) -> None:
    """Nobody who has a certificate, and sends the pod what is not for it."""
    beyond = ("203.0.113.7", "2001:db8::7")[ipv6]
    world.stranger.ip("route", "replace", beyond, "via", world.api.pod.addresses[ipv6])
    before = world.api.connections()
    with (
        world.hub.capture("api") as seen,
        world.stranger.within(
            lambda: socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET)
        ) as sock,
    ):
        sock.settimeout(0.5)
        with pytest.raises(OSError, match=r"timed out|unreachable|No route"):
            sock.connect((beyond, APP))
        assert seen.shows(socket.inet_pton(sock.family, beyond))  # it came that far
    assert world.api.connections() == before


def test_a_neighbour_cannot_reach_what_listens_on_loopback_alone(
    world: World, ipv6: bool
) -> None:
    """The stranger sends to 127.0.0.9 or ::1 by wire; the kernel's own check is late."""
    host = ("127.0.0.9", "::1")[ipv6]
    before = world.api.connections()
    stranger, api = world.stranger, world.api.pod.addresses[ipv6]
    local = ("127.0.0.0/8", "::1")[ipv6]
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    version = "-6" if ipv6 else "-4"
    stranger.ip(version, "route", "del", "local", local, "dev", "lo", "table", "local")
    stranger.ip(version, "route", "replace", host, "via", api)
    with (
        world.hub.capture("api") as seen,
        stranger.within(lambda: socket.socket(family)) as sock,
    ):
        sock.settimeout(0.5)
        sock.bind((stranger.addresses[ipv6], 0))
        with pytest.raises(OSError, match=r"timed out|unreachable|No route"):
            sock.connect((host, APP))
        assert seen.shows(socket.inet_pton(family, host))
        # The stranger's kernel hears no answer from a loopback address. Others would.
        assert not seen.from_address(host)
    assert world.api.connections() == before
