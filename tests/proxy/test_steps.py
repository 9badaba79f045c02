from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from sidecar.config.model import ORIGINAL, Endpoint, Limits, Listener
from sidecar.net import original_dst
from sidecar.proxy.connection import Connection
from sidecar.proxy.outcome import Refused
from sidecar.proxy.steps import dial_upstream, find_destination, shake_hands
from sidecar.telemetry.labels import Direction, Outcome, Reason
from sidecar.tls.errors import HandshakeError
from tests.net.capabilities import no_capabilities
from tests.support.mesh import (
    Running,
    Wire,
    application,
    configuration,
    full_backlog,
    nobody_there,
    running,
)

if TYPE_CHECKING:
    from trio.testing import MockClock

    from sidecar.tls.handshake import TlsSession

LISTEN = Endpoint("127.0.0.1", 15006)
THERE = Endpoint("10.0.0.1", 8080)


def new_connection() -> Connection:
    source = Endpoint("10.0.0.9", 1)
    return Connection(Direction.INBOUND, source, trio.current_time())


# --- Where it goes


def test_a_fixed_destination_is_taken_as_it_is() -> None:
    with socket.socket() as sock:
        assert find_destination(sock, Listener(LISTEN, THERE)) == THERE


def test_a_transparent_listener_has_the_destination_in_the_connection_itself() -> None:
    listener = Listener(LISTEN, ORIGINAL, transparent=True)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
    ):
        sock, _ = server.accept()
        with sock:
            there = Endpoint(*server.getsockname())
            assert find_destination(sock, listener, there) == there


@pytest.mark.parametrize(
    ("host", "caller", "ours"),
    [
        ("127.0.0.2", "127.0.0.1", True),
        ("127.0.0.2", "10.0.0.9", False),
        ("::1", "2001:db8::9", False),
        ("192.0.2.1", "10.0.0.9", False),
        ("2001:db8::1", "::1", False),
    ],
)
def test_a_neighbour_s_packets_for_others_are_not_carried_on(
    monkeypatch: pytest.MonkeyPatch, host: str, caller: str, ours: bool
) -> None:
    there = Endpoint(host, 8080)
    monkeypatch.setattr(original_dst, "original_dst", lambda _: there)
    listener, source = Listener(LISTEN, ORIGINAL), Endpoint(caller, 1)
    with socket.socket() as sock:
        assert find_destination(sock, listener) == there
        if ours:
            assert find_destination(sock, listener, source) == there
        else:
            with pytest.raises(Refused) as caught:
                find_destination(sock, listener, source)
            assert caught.value.outcome is Outcome.NO_DESTINATION


def test_a_redirected_connection_is_asked_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def kernel(sock: socket.socket) -> Endpoint:
        asked.append(sock)
        return THERE

    monkeypatch.setattr(original_dst, "original_dst", kernel)
    with socket.socket() as sock:
        assert find_destination(sock, Listener(LISTEN, ORIGINAL)) == THERE
        assert asked == [sock]


def test_without_a_destination_the_remedy_is_named() -> None:
    with socket.socket() as sock, pytest.raises(Refused, match="original") as refused:
        find_destination(sock, Listener(LISTEN, ORIGINAL))
    assert refused.value.outcome is Outcome.NO_DESTINATION


# --- Dialling


async def dialled(*addresses: str, port: int, seconds: float = 10) -> str | Refused:
    """Dial; give the address that is recorded, or how it was refused."""
    connection = new_connection()
    config = configuration(to=THERE, limits=Limits(connect_seconds=seconds))
    async with running(config) as mesh:
        try:
            sock = await dial_upstream(addresses, port, mesh.mesh, connection)
        except Refused as refused:
            return refused
        sock.close()
    return str(connection.upstream)


async def test_the_address_that_answered_is_recorded() -> None:
    async with application() as app:
        for addresses in (["127.0.0.1"], ["::1", "127.0.0.1"]):
            recorded = await dialled(*addresses, port=app.endpoint.port)
            assert recorded == str(app.endpoint)
    async with application(host="::1") as app:
        port = app.endpoint.port
        assert await dialled("::1", port=port) == f"[::1]:{port}"


@pytest.mark.parametrize(
    ("addresses", "outcome"),
    [
        (["127.0.0.1"], Outcome.UPSTREAM_REFUSED),
        (["::1", "127.0.0.1"], Outcome.UPSTREAM_REFUSED),
        ([], Outcome.UPSTREAM_UNREACHABLE),
        (["255.255.255.255"], Outcome.UPSTREAM_UNREACHABLE),
    ],
)
async def test_one_that_cannot_be_reached_is_refused(
    addresses: list[str], outcome: Outcome
) -> None:
    refused = await dialled(*addresses, port=nobody_there().port)
    assert isinstance(refused, Refused)
    assert refused.outcome is outcome
    assert refused.reason is Reason.OK


async def test_one_that_does_not_answer_takes_no_longer_than_allowed(
    clock: MockClock,
) -> None:
    with full_backlog() as silent:
        began = trio.current_time()
        refused = await dialled(silent.host, port=silent.port, seconds=4)
        assert trio.current_time() - began == pytest.approx(4, abs=0.5)
    assert isinstance(refused, Refused)
    assert refused.outcome is Outcome.UPSTREAM_TIMEOUT
    assert str(refused) == "no answer in 4 seconds"


async def test_one_that_does_not_answer_leaves_time_for_the_next(
    clock: MockClock,
) -> None:
    with (
        full_backlog() as silent,
        socket.create_server(("::1", silent.port), family=socket.AF_INET6),
    ):
        recorded = await dialled("127.0.0.1", "::1", port=silent.port)
    assert recorded == f"[::1]:{silent.port}"


async def test_a_reset_that_is_quicker_than_we_are_is_the_upstreams() -> None:
    """It may be quicker, and it may not: both are named for what they are."""
    results: set[object] = set()
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        async def reset_all() -> None:
            while True:
                sock, _ = await listener.accept()
                Wire(sock).reset()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(reset_all)
            for _ in range(30):
                result = await dialled("127.0.0.1", port=port)
                results.add(getattr(result, "outcome", result))
            nursery.cancel_scope.cancel()
    either = {Outcome.RESET_BY_UPSTREAM, f"127.0.0.1:{port}"}
    assert results - {"unknown"} <= either
    assert results


async def test_a_dial_that_is_cancelled_leaves_nothing_open(clock: MockClock) -> None:
    async with running(configuration(to=THERE)) as mesh:
        with full_backlog() as silent, trio.move_on_after(1) as scope:
            await dial_upstream([silent.host], silent.port, mesh.mesh, new_connection())
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("source", "outcome"),
    [
        ("10.0.0.9", Outcome.UPSTREAM_UNREACHABLE),
        ("fe80::9%eth0", None),  # of an interface that leads elsewhere
    ],
)
async def test_to_call_as_the_caller_takes_a_capability(
    source: str, outcome: Outcome | None
) -> None:
    connection = Connection(Direction.INBOUND, Endpoint(source, 1), 0)
    async with application() as app, running(configuration(to=THERE)) as mesh:
        where = [app.endpoint.host], app.endpoint.port, mesh.mesh, connection
        with no_capabilities():
            if outcome is None:
                (await dial_upstream(*where, as_caller=True)).close()
                return
            with pytest.raises(Refused) as refused:
                await dial_upstream(*where, as_caller=True)
    assert refused.value.outcome is outcome
    assert "NET_ADMIN" in str(refused.value)


# --- Handshakes


async def failed(mesh: Running, connection: Connection, error: Exception) -> None:
    async def handshake(_scope: trio.CancelScope) -> Any:
        await trio.lowlevel.checkpoint()
        raise error

    with pytest.raises(HandshakeError):
        await shake_hands(mesh.mesh, connection, handshake)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (HandshakeError(Reason.EXPIRED, "too late"), Reason.EXPIRED),
        (HandshakeError(Reason.UNEXPECTED_PEER, "another"), Reason.UNEXPECTED_PEER),
        (ConnectionResetError("reset"), Reason.RESET),
        (BrokenPipeError("broken"), Reason.RESET),
    ],
)
async def test_a_failure_is_counted_under_its_reason(
    error: Exception, reason: Reason
) -> None:
    connection = new_connection()
    async with running(configuration(to=THERE)) as mesh:
        await failed(mesh, connection, error)
        assert mesh.handshakes(result="failed", reason=reason) == 1
        assert mesh.samples()["sidecar_handshakes_total"] == 1
    assert connection.reason is reason
    assert connection.session is None
    assert connection.peer is None


async def test_the_seconds_are_those_of_the_handshake(clock: MockClock) -> None:
    connection = new_connection()

    async def handshake(_scope: trio.CancelScope) -> Any:
        await trio.sleep(2)
        raise HandshakeError(Reason.EXPIRED, "too late")

    async with running(configuration(to=THERE)) as mesh:
        with pytest.raises(HandshakeError, match="too late"):
            await shake_hands(mesh.mesh, connection, handshake)
        spent = {"direction": "inbound", "result": "failed"}
        samples = mesh.samples()
        assert samples.sum("sidecar_handshake_seconds_sum", **spent) == pytest.approx(2)


async def test_a_handshake_has_the_configured_time(clock: MockClock) -> None:
    connection = new_connection()
    config = configuration(to=THERE, limits=Limits(handshake_seconds=2.5))

    async def stalls(_scope: trio.CancelScope) -> TlsSession:
        await trio.sleep_forever()

    async with running(config) as mesh:
        began = trio.current_time()
        with pytest.raises(HandshakeError, match=r"not done in 2\.5 seconds"):
            await shake_hands(mesh.mesh, connection, stalls)
        assert trio.current_time() - began == pytest.approx(2.5, abs=0.1)
        assert mesh.handshakes(result="failed", reason="timeout") == 1


async def test_a_handshake_that_is_cancelled_or_meets_a_bug_is_not_counted(
    clock: MockClock,
) -> None:
    connection = new_connection()

    async def stalls(_scope: trio.CancelScope) -> TlsSession:
        await trio.sleep_forever()

    async def breaks(_scope: trio.CancelScope) -> TlsSession:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a bug")

    async with running(configuration(to=THERE)) as mesh:
        with trio.move_on_after(1) as scope:
            await shake_hands(mesh.mesh, connection, stalls)
        assert scope.cancelled_caught
        with pytest.raises(RuntimeError, match="a bug"):
            await shake_hands(mesh.mesh, connection, breaks)
        assert mesh.samples()["sidecar_handshakes_total"] == 0


async def test_a_second_attempt_is_counted_by_itself() -> None:
    connection = new_connection()
    async with running(configuration(to=THERE)) as mesh:
        await failed(mesh, connection, HandshakeError(Reason.PROTOCOL_ERROR, "alpn"))
        await failed(mesh, connection, HandshakeError(Reason.EXPIRED, "too late"))
        assert mesh.handshakes(reason="protocol_error") == 1
        assert mesh.handshakes(reason="expired") == 1
    assert connection.reason is Reason.EXPIRED
