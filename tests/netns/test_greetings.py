"""Ensures that servers that speak first are heard: at once, or after the known delay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.callers import record_of
from tests.netns.calling import name_of
from tests.netns.captures import at
from tests.netns.greetings import (
    DATABASE_GREETING,
    MAIL_GREETING,
    Database,
    Files,
    Mail,
    serving,
)
from tests.netns.pods import SECONDS
from tests.netns.world import (
    DATABASE,
    FILES,
    FORGIVING,
    FRONTEND,
    MAIL,
    last,
    marker,
)
from tests.support.deadlines import eventually
from tests.support.programs import require

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from tests.netns.pods import Pod
    from tests.netns.world import World


def curl(pod: Pod, *words: str | Path) -> str:
    limit = ("--silent", "--show-error", "--max-time", str(SECONDS))
    return pod.run(require("curl"), *limit, *words)


def greeting(sock: socket.socket, size: int) -> bytes:
    """Say nothing, and read so much."""
    heard = b""
    while len(heard) < size:
        more = sock.recv(size - len(heard))
        assert more, "it left"
        heard += more
    return heard


def opened(world: World) -> float:
    open_now = world.api.metrics().sum
    return open_now("sidecar_connections_open", direction="inbound")


def test_mail_is_delivered_by_curl(world: World, ipv6: bool, tmp_path: Path) -> None:
    """To a strict port of a sidecar that would wait for first bytes for minutes."""
    url = f"smtp://{at(world.api.pod.addresses[ipv6], MAIL)}"
    letter, secret = tmp_path / "letter", marker()
    letter.write_text(f"Subject: {secret}\r\n\r\nHello.\r\n")
    who = ("--mail-from", "one@shop.example", "--mail-rcpt", "two@shop.example")
    with serving(world.api.pod, MAIL, Mail) as server:
        with world.hub.capture("api") as seen:
            curl(world.frontend.pod, url, *who, "--upload-file", letter)
            assert not seen.shows(secret.encode())
            assert not seen.shows(MAIL_GREETING)
        assert [secret.encode() in each for each in server.received] == [True]


def test_a_file_is_fetched_by_curl(world: World, ipv6: bool) -> None:
    """By FTP: a greeting, and then a port of its own on which only the server talks."""
    secret = marker().strip("/")
    url = f"ftp://{at(world.api.pod.addresses[ipv6], FILES)}/{secret}"
    before = world.api.connections()
    with serving(world.api.pod, FILES, Files), world.hub.capture("api") as seen:
        assert curl(world.frontend.pod, url) == secret * 1000
        assert not seen.shows(secret.encode())
    assert world.api.connections() == before + 2


def test_a_database_greets_who_has_said_nothing(world: World, ipv6: bool) -> None:
    host = world.api.pod.addresses[ipv6]
    with (
        serving(world.api.pod, MAIL, Database),
        world.hub.capture("api") as seen,
        world.frontend.pod.connect(host, MAIL) as sock,
    ):
        assert greeting(sock, len(DATABASE_GREETING)) == DATABASE_GREETING
        sock.sendall(b"SELECT 1\r\n")
        assert greeting(sock, 10) == b"SELECT 1\r\n"
        assert not seen.shows(DATABASE_GREETING)


def test_a_permissive_port_lets_it_greet_by_mtls_at_once(
    world: World, ipv6: bool
) -> None:
    """Who has a sidecar speaks first, if only TLS."""
    host = world.api.pod.addresses[ipv6]
    with (
        serving(world.api.pod, DATABASE, Database),
        world.frontend.pod.connect(host, DATABASE) as sock,
    ):
        assert greeting(sock, len(DATABASE_GREETING)) == DATABASE_GREETING
    record = last(world.api, destination=at(host, DATABASE), peer=FRONTEND)
    assert record["outcome"] == "completed"


def test_a_permissive_port_lets_it_greet_in_plain_when_detect_seconds_are_over(
    world: World, ipv6: bool
) -> None:
    host = world.frontend.pod.addresses[ipv6]
    with (
        serving(world.frontend.pod, DATABASE, Database),
        world.stranger.connect(host, DATABASE) as sock,
    ):
        source = name_of(sock)
        assert greeting(sock, len(DATABASE_GREETING)) == DATABASE_GREETING
    record = record_of(world.frontend, source)
    assert (record["outcome"], record["rule"]) == ("completed", "anybody")
    assert record["seconds"] >= FORGIVING


def test_until_then_it_waits_for_the_callers_first_bytes(
    world: World, ipv6: bool
) -> None:
    """Minutes, at the api; the application hears nothing of it before."""
    host = world.api.pod.addresses[ipv6]
    before = opened(world)
    with (
        serving(world.api.pod, DATABASE, Database) as server,
        world.stranger.connect(host, DATABASE) as sock,
    ):
        eventually(lambda: opened(world) == before + 1, "the sidecar accepted")
        assert server.called == 0
        sock.sendall(b"SELECT 1\r\n")
        answer = DATABASE_GREETING + b"SELECT 1\r\n"
        assert greeting(sock, len(answer)) == answer


def test_a_server_elsewhere_greets_who_calls_it_in_plain(
    world: World, ipv6: bool
) -> None:
    host = world.stranger.addresses[ipv6]
    with (
        serving(world.stranger, MAIL, Mail),
        world.api.pod.connect(host, MAIL) as sock,
    ):
        assert greeting(sock, len(MAIL_GREETING)) == MAIL_GREETING
