from __future__ import annotations

import contextlib
import socket
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from OpenSSL import SSL

from sidecar.config.model import (
    Config,
    Endpoint,
    Limits,
    Outbound,
    OutboundDefault,
    Route,
    RouteMode,
    Tls as TlsSettings,
)
from sidecar.net import original_dst
from sidecar.policy.pattern import parse_pattern
from sidecar.relay.flow import Ending
from sidecar.telemetry.labels import Direction, Outcome
from tests.support.mesh import (
    ALPN,
    Running,
    Tls,
    Wire,
    allow,
    application,
    configuration,
    context,
    echo_tls,
    full_backlog,
    nobody_there,
    running,
    speaks_tls,
    spiffe_id,
    svid,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock

    from sidecar.identity.svid import Svid

OUTBOUND = Direction.OUTBOUND
LOOPBACK = IPv4Network("127.0.0.0/8")
SECRET = b"of the application"


def route(
    mode: RouteMode = RouteMode.MTLS,
    peers: str = "db",
    to: IPv4Network | str = LOOPBACK,
) -> Route:
    expected = (parse_pattern(spiffe_id(peers)),) if mode is RouteMode.MTLS else ()
    return Route("db", (to,), mode=mode, peers=expected)


NAMED = route(to="db.shop.svc")
ELSEWHERE = Route("other", (IPv4Network("10.0.0.0/8"),))


def leading(
    to: Endpoint | None,
    *routes: Route,
    default: OutboundDefault = OutboundDefault.DENY,
    limits: Limits | None = None,
) -> Config:
    """An outbound listener that leads to one place."""
    return configuration(
        outbound=Outbound(routes=routes or (route(),), default=default),
        to=to,
        limits=limits,
        tls=TlsSettings(minimum_version="1.2"),
    )


async def says(mesh: Running, question: bytes) -> bytes:
    """Connect as the application does, ask, and give the whole answer."""
    with await mesh.connect(OUTBOUND) as wire:
        await wire.send(question)
        wire.end()
        return await wire.receive_all()


async def is_reset(mesh: Running) -> None:
    """Connect as the application does, and be reset without having read a byte."""
    with await mesh.connect(OUTBOUND) as wire:
        with contextlib.suppress(ConnectionError):
            await wire.send(SECRET)
        assert await wire.was_reset() == b""


class Names(trio.abc.HostnameResolver):
    """A name server for one test."""

    def __init__(self, known: dict[bytes, str]) -> None:
        self.known = known

    async def getaddrinfo(self, host: bytes | None, *_: Any, **__: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (self.known[host], 0))]

    async def getnameinfo(self, *_: Any) -> Any:
        raise NotImplementedError


# --- The right peer


async def test_the_right_peer_is_spoken_to_in_tls() -> None:
    async with (
        application(speaks_tls(svid("db"))) as server,
        running(leading(server.endpoint), own=svid("web")) as mesh,
    ):
        assert await says(mesh, b"hello") == b"hello"
        record = await mesh.record()
    assert record.pop("time")
    assert record.pop("seconds") < 20
    assert record.pop("source").startswith("127.0.0.1:")
    assert record == {
        "direction": "outbound",
        "outcome": "completed",
        "reason": "ok",
        "peer": spiffe_id("db"),
        "identity": spiffe_id("web"),
        "destination": str(server.endpoint),
        "upstream": str(server.endpoint),
        "rule": "db",
        "decision": "allow",
        "received": 5,
        "sent": 5,
        "tls_version": "TLSv1.3",
        "group": "X25519MLKEM768",
        "cipher": "TLS_AES_128_GCM_SHA256",
        "resumed": False,
        "generation": 1,
        "policy_generation": 1,
        "config_generation": 1,
    }
    ok = {"direction": "outbound", "result": "ok"}
    samples = mesh.samples()
    assert mesh.handshakes(reason="ok", resumed="false", **ok) == 1
    assert samples.sum("sidecar_handshake_seconds_count", **ok) == 1
    allowed = {"direction": "outbound", "decision": "allow"}
    assert samples.sum("sidecar_policy_decisions_total", rule="db", **allowed) == 1
    peers = {"peer": spiffe_id("db"), **allowed}
    assert samples.sum("sidecar_peer_connections_total", **peers) == 1


async def test_the_server_sees_our_certificate_and_our_alpn_but_no_name() -> None:
    seen: list[Tls] = []

    async def looks(tls: Tls) -> None:
        seen.append(tls)
        await echo_tls(tls)

    server_of = speaks_tls(svid("db"), looks, select=lambda offered: offered[0])
    async with (
        application(server_of) as server,
        running(leading(server.endpoint), own=svid("web")) as mesh,
    ):
        await says(mesh, b"hello")
        await mesh.record()
    connection = seen[0].connection
    assert connection.get_peer_certificate(as_cryptography=True) == svid("web").chain[0]
    assert connection.get_alpn_proto_negotiated() == ALPN
    assert connection.get_servername() is None


async def test_a_destination_with_a_name_is_resolved_and_named_in_sni() -> None:
    names: list[bytes | None] = []

    async def looks(tls: Tls) -> None:
        names.append(tls.connection.get_servername())
        await echo_tls(tls)

    trio.socket.set_custom_hostname_resolver(Names({b"db.shop.svc": "127.0.0.1"}))
    async with application(speaks_tls(svid("db"), looks)) as server:
        there = Endpoint("db.shop.svc", server.endpoint.port)
        async with running(leading(there, NAMED)) as mesh:
            assert await says(mesh, b"hello") == b"hello"
            record = await mesh.record()
    assert names == [b"db.shop.svc"]
    assert record["destination"] == str(there)
    assert record["upstream"] == str(server.endpoint)


async def test_a_redirected_connection_finds_its_route(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        application(speaks_tls(svid("db"))) as server,
        running(leading(None)) as mesh,
    ):
        monkeypatch.setattr(original_dst, "original_dst", lambda _: server.endpoint)
        assert await says(mesh, b"hello") == b"hello"
        assert (await mesh.record())["destination"] == str(server.endpoint)


async def test_a_route_may_expect_several_peers() -> None:
    for name in ("db", "cache"):
        async with (
            application(speaks_tls(svid(name))) as server,
            running(leading(server.endpoint, route(peers="*"))) as mesh,
        ):
            assert await says(mesh, b"hello") == b"hello"
            assert (await mesh.record())["peer"] == spiffe_id(name)


async def test_two_sidecars_carry_a_connection_from_end_to_end() -> None:
    question = bytes(range(256)) * 4096
    async with (
        application() as app,
        running(configuration(to=app.endpoint), allow("web"), own=svid("db")) as there,
    ):
        door = Endpoint("127.0.0.1", there.ports[Direction.INBOUND])
        async with running(leading(door), own=svid("web")) as here:
            with await here.connect(OUTBOUND) as wire:
                async with trio.open_nursery() as nursery:

                    async def asks() -> None:
                        await wire.send(question)
                        wire.end()

                    nursery.start_soon(asks)
                    assert await wire.receive_all() == question
            records = [await here.record(), await there.record()]
    for record in records:
        assert record["outcome"] == "completed"
        assert record["received"] == record["sent"] == len(question)
    assert [each["peer"] for each in records] == [spiffe_id("db"), spiffe_id("web")]


# --- The wrong peer


@pytest.mark.parametrize(
    ("who", "alert", "reason"),
    [
        (svid("intruder"), 42, "unexpected_peer"),
        (svid("db", "stranger.test"), 48, "unknown_trust_domain"),
    ],
)
@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
async def test_the_wrong_peer_is_refused_before_it_hears_a_byte(
    who: Svid, alert: int, reason: str, version: int
) -> None:
    peers: list[Tls] = []
    heard: list[bytes] = []

    async def wrong(wire: Wire) -> None:
        peers.append(
            Tls(wire, context(SSL.TLS_SERVER_METHOD, who, version=version), server=True)
        )
        with pytest.raises(SSL.Error):
            heard.append(await (await peers[0].handshake()).receive())
        assert await wire.receive() == b""

    async with (
        application(wrong) as server,
        running(leading(server.endpoint), own=svid("web")) as mesh,
    ):
        await is_reset(mesh)
        record = await mesh.record()
    assert heard == []
    assert peers[0].alerts == [alert]
    assert (record["outcome"], record["reason"]) == ("handshake_failed", reason)
    assert str(who.name) in record["detail"]
    assert record["rule"] == "db"
    assert "peer" not in record
    assert "received" not in record
    assert mesh.handshakes(direction="outbound", result="failed", reason=reason) == 1


async def test_one_that_is_cut_while_it_lingers_leaves_nothing_open() -> None:
    """The wrong peer does not end when it has been sent the alert."""
    alerted = trio.Event()

    async def stays(wire: Wire) -> None:
        tls = Tls(wire, context(SSL.TLS_SERVER_METHOD, svid("intruder")), server=True)
        with pytest.raises(SSL.Error):
            await tls.handshake()
        alerted.set()
        await trio.sleep_forever()

    async with (
        application(stays) as server,
        running(leading(server.endpoint)) as mesh,
    ):
        with await mesh.connect(OUTBOUND) as wire:
            await alerted.wait()
            (connection,) = mesh.mesh.connections
            connection.end(Ending(Outcome.IDLE_TIMEOUT, "cut by the test"))
            assert await wire.was_reset() == b""
        record = await mesh.record()
    assert record["outcome"] == "idle_timeout"
    assert record["reason"] == "unexpected_peer"


# --- Servers that are none


Script = list[bytes]


def greets(heard: Script) -> Callable[[Wire], Awaitable[None]]:
    async def handle(wire: Wire) -> None:
        await wire.send(b"220 ready\r\n")
        heard.append(await wire.was_reset_or_ended())

    return handle


def answers_in_plaintext(heard: Script) -> Callable[[Wire], Awaitable[None]]:
    async def handle(wire: Wire) -> None:
        heard.append(await wire.receive())
        await wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        wire.end()
        heard.append(await wire.was_reset_or_ended())

    return handle


def leaves(heard: Script) -> Callable[[Wire], Awaitable[None]]:
    async def handle(wire: Wire) -> None:
        heard.append(await wire.receive())

    return handle


def leaves_at_once(_: Script) -> Callable[[Wire], Awaitable[None]]:
    async def handle(wire: Wire) -> None:
        wire.end()
        await wire.was_reset_or_ended()

    return handle


def resets(heard: Script) -> Callable[[Wire], Awaitable[None]]:
    async def handle(wire: Wire) -> None:
        heard.append(await wire.receive())
        wire.reset()

    return handle


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (greets, "plaintext"),
        (answers_in_plaintext, "plaintext"),
        (leaves, "reset"),
        (leaves_at_once, "reset"),
        (resets, "reset"),
    ],
)
async def test_a_server_without_tls_hears_nothing_of_the_application(
    server: Callable[[Script], Callable[[Wire], Awaitable[None]]], reason: str
) -> None:
    heard: Script = []
    async with (
        application(server(heard)) as app,
        running(leading(app.endpoint)) as mesh,
    ):
        await is_reset(mesh)
        record = await mesh.record()
    assert SECRET not in b"".join(heard)
    assert (record["outcome"], record["reason"]) == ("handshake_failed", reason)


async def test_a_server_that_says_nothing_times_out(clock: MockClock) -> None:
    async def silent(wire: Wire) -> None:
        await wire.was_reset_or_ended()

    async with (
        application(silent) as app,
        running(leading(app.endpoint, limits=Limits(handshake_seconds=3))) as mesh,
    ):
        began = trio.current_time()
        await is_reset(mesh)
        assert trio.current_time() - began == pytest.approx(3, abs=0.5)
        record = await mesh.record()
    assert record["reason"] == "timeout"
    assert record["detail"] == "not done in 3 seconds"
    assert mesh.handshakes(direction="outbound", reason="timeout") == 1


async def test_the_handshake_of_one_that_gave_up_is_not_begun(
    clock: MockClock,
) -> None:
    heard: list[bytes] = []

    async def silent(wire: Wire) -> None:
        heard.append(await wire.was_reset_or_ended())

    limits = Limits(handshakes=1)
    async with (
        application(silent) as app,
        running(leading(app.endpoint, limits=limits)) as mesh,
    ):
        with await mesh.connect(OUTBOUND) as first:
            await trio.testing.wait_all_tasks_blocked(0.05)
            gave_up = await mesh.connect(OUTBOUND)
            await gave_up.send(b"question")
            await trio.testing.wait_all_tasks_blocked(0.05)
            gave_up.reset()
            assert await first.was_reset() == b""
            records = await mesh.records(2)
    assert {each["outcome"] for each in records} == {
        "handshake_failed",
        "reset_by_downstream",
    }
    assert sorted(map(bool, heard)) == [False, True]
    assert mesh.handshakes(direction="outbound") == 1


# --- Servers that refuse us


async def test_a_server_that_refuses_us_in_tls_1_3_resets_the_application() -> None:
    """It judges us when our handshake is done already (RFC 8446, 4.4.2.4)."""
    async with (
        application(refusing(speaks_tls(svid("db"), believe=False))) as server,
        running(leading(server.endpoint), own=svid("web")) as mesh,
    ):
        with await mesh.connect(OUTBOUND) as wire:
            assert await wire.was_reset() == b""
        record = await mesh.record()
    assert (record["outcome"], record["reason"]) == ("tls_error", "peer_refused")
    assert "unknown_ca (48)" in record["detail"]
    assert record["peer"] == spiffe_id("db")


async def test_a_server_that_refuses_us_in_tls_1_2_fails_the_handshake() -> None:
    old = speaks_tls(svid("db"), believe=False, version=SSL.TLS1_2_VERSION)
    async with (
        application(refusing(old)) as server,
        running(leading(server.endpoint), own=svid("web")) as mesh,
    ):
        await is_reset(mesh)
        record = await mesh.record()
    assert (record["outcome"], record["reason"]) == ("handshake_failed", "peer_refused")
    assert "unknown_ca (48)" in record["detail"]


def refusing(
    handler: Callable[[Wire], Awaitable[None]],
) -> Callable[[Wire], Awaitable[None]]:
    async def refuse(wire: Wire) -> None:
        with pytest.raises((SSL.Error, LookupError)):
            await handler(wire)
        wire.end()
        await wire.was_reset_or_ended()

    return refuse


# --- Servers that know other protocols


def choosy(offered: list[bytes]) -> bytes:
    """Refuse whoever offers only protocols that are not known, as nginx does."""
    raise LookupError(offered)


def choosy_server(attempts: list[bool]) -> Callable[[Wire], Awaitable[None]]:
    """Serve those who offer no ALPN; note for each whether it was served."""
    handler = speaks_tls(svid("db"), select=choosy)

    async def serve(wire: Wire) -> None:
        attempts.append(False)
        with contextlib.suppress(LookupError):
            await handler(wire)
            attempts[-1] = True

    return serve


async def test_a_server_that_refuses_our_alpn_is_asked_without_from_then_on() -> None:
    """RFC 7301, 3.2: no_application_protocol."""
    attempts: list[bool] = []
    async with (
        application(choosy_server(attempts)) as server,
        running(leading(server.endpoint)) as mesh,
    ):
        assert await says(mesh, b"hello") == b"hello"
        assert attempts == [False, True]
        assert await says(mesh, b"again") == b"again"
        records = await mesh.records(2)
    assert attempts == [False, True, True]
    assert [each["outcome"] for each in records] == ["completed", "completed"]
    assert [each["reason"] for each in records] == ["ok", "ok"]
    assert mesh.handshakes(reason="protocol_error") == 1
    assert mesh.handshakes(reason="ok") == 2


async def test_the_second_attempt_may_fail_for_another_reason() -> None:
    handler = speaks_tls(svid("intruder"), select=choosy)
    async with (
        application(refusing(handler)) as server,
        running(leading(server.endpoint)) as mesh,
    ):
        await is_reset(mesh)
        record = await mesh.record()
        assert len(server.accepted) == 2
        assert mesh.mesh.no_alpn == set()
    assert (record["outcome"], record["reason"]) == (
        "handshake_failed",
        "unexpected_peer",
    )


async def test_a_server_that_fails_without_alpn_is_offered_it_again() -> None:
    """As a permissive port of the mesh, which has the address of the other one now."""

    async def wants_alpn(wire: Wire) -> None:
        if not offers.pop(0):
            wire.end()  # it takes us for the application's own TLS
        else:
            await speaks_tls(svid("db"))(wire)

    offers = [False, True]
    async with (
        application(wants_alpn) as server,
        running(leading(server.endpoint)) as mesh,
    ):
        mesh.mesh.no_alpn.add((server.endpoint.host, server.endpoint.port))
        await is_reset(mesh)
        assert await says(mesh, b"hello") == b"hello"
        assert mesh.mesh.no_alpn == set()
        await mesh.records(2)


# --- Routes without TLS, and none


@pytest.mark.parametrize(
    ("routed", "default"),
    [
        (route(RouteMode.PLAINTEXT), OutboundDefault.DENY),
        (ELSEWHERE, OutboundDefault.PLAINTEXT),
    ],
)
async def test_plaintext_where_a_route_or_the_default_says_so(
    routed: Route, default: OutboundDefault
) -> None:
    async with (
        application() as app,
        running(leading(app.endpoint, routed, default=default)) as mesh,
    ):
        assert await says(mesh, b"hello") == b"hello"
        record = await mesh.record()
    assert record["outcome"] == "completed"
    assert record["decision"] == "allow"
    assert (record["received"], record["sent"]) == (5, 5)
    assert "tls_version" not in record
    assert "generation" not in record
    plaintext = {"direction": "outbound", "port": str(app.endpoint.port)}
    samples = mesh.samples()
    assert samples.sum("sidecar_plaintext_connections_total", **plaintext) == 1


@pytest.mark.parametrize(
    ("routed", "outcome", "rule"),
    [(route(RouteMode.DENY), "denied", "db"), (ELSEWHERE, "no_route", None)],
)
async def test_what_may_not_be_reached_is_not_dialled(
    routed: Route, outcome: str, rule: str | None
) -> None:
    async with (
        application() as bomb,
        running(leading(bomb.endpoint, routed)) as mesh,
    ):
        await is_reset(mesh)
        record = await mesh.record()
    assert bomb.accepted == []
    assert record["outcome"] == outcome
    assert record["decision"] == "deny"
    assert record.get("rule") == rule
    denied = {"direction": "outbound", "decision": "deny", "rule": rule or "default"}
    assert mesh.samples().sum("sidecar_policy_decisions_total", **denied) == 1


async def test_a_loop_is_refused_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(leading(None, route(RouteMode.PLAINTEXT))) as mesh:
        ours = Endpoint("127.0.0.1", mesh.ports[OUTBOUND])
        monkeypatch.setattr(original_dst, "original_dst", lambda _: ours)
        await is_reset(mesh)
        record = await mesh.record()
    assert record["outcome"] == "loop"


async def test_a_connection_that_was_not_redirected_has_no_destination() -> None:
    async with running(leading(None)) as mesh:
        await is_reset(mesh)
        assert (await mesh.record())["outcome"] == "no_destination"


# --- Nobody there


async def test_a_name_without_an_address_is_unreachable() -> None:
    trio.socket.set_custom_hostname_resolver(Names({}))
    async with running(leading(Endpoint("db.shop.svc", 5432), NAMED)) as mesh:
        await is_reset(mesh)
        record = await mesh.record()
    assert record["outcome"] == "upstream_unreachable"
    assert "no address yet" in record["detail"]
    assert record["destination"] == "db.shop.svc:5432"


@pytest.mark.parametrize("mode", [RouteMode.MTLS, RouteMode.PLAINTEXT])
async def test_a_server_that_is_down_is_a_reset_and_no_empty_answer(
    mode: RouteMode,
) -> None:
    async with running(leading(nobody_there(), route(mode))) as mesh:
        await is_reset(mesh)
        record = await mesh.record()
    assert record["outcome"] == "upstream_refused"
    assert "upstream" not in record


async def test_a_server_that_does_not_answer_times_out(clock: MockClock) -> None:
    with full_backlog() as silent:
        limits = Limits(connect_seconds=2)
        async with running(leading(silent, limits=limits)) as mesh:
            await is_reset(mesh)
            record = await mesh.record()
    assert record["outcome"] == "upstream_timeout"
    assert record["detail"] == "no answer in 2 seconds"
