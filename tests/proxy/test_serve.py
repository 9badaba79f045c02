from __future__ import annotations

import contextlib
import logging
import os
import random
import resource
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from OpenSSL import SSL

from sidecar.config.model import (
    Endpoint,
    Inbound,
    Limits,
    Listener,
    Mode,
    Outbound,
    OutboundDefault,
)
from sidecar.proxy import inbound, serve as serving
from sidecar.relay.flow import Ending
from sidecar.telemetry.labels import Direction, Outcome
from tests.support.mesh import (
    Running,
    Truncated,
    Wire,
    allow,
    application,
    client,
    configuration,
    hello,
    running,
    svid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock

    from sidecar.config.model import Config
    from tests.support.mesh import Application

DISABLED = Inbound(mode=Mode.DISABLED)
OPEN = Outbound(default=OutboundDefault.PLAINTEXT)
BROKEN = (ConnectionError, SSL.Error, Truncated)


def plain(
    app: Application, connections: int = 100, lifetime_seconds: float = 0
) -> Config:
    limits = Limits(connections, lifetime_seconds=lifetime_seconds)
    return configuration(DISABLED, to=app.endpoint, limits=limits)


ANYBODY = allow("unauthenticated")


async def echoed(wire: Wire, data: bytes = b"hello") -> None:
    await wire.send(data)
    assert await wire.receive() == data


# --- The limit


async def test_past_the_limit_callers_wait_in_the_backlog() -> None:
    async with (
        application() as app,
        running(plain(app, connections=1), ANYBODY) as mesh,
    ):
        with await mesh.connect() as first, await mesh.connect() as second:
            await echoed(first)
            await second.send(b"is anybody there?")
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert len(mesh.mesh.connections) == 1
            assert mesh.samples()["sidecar_connections_open"] == 1
            await echoed(first, b"still here")
            first.end()
            assert await first.receive() == b""
            assert await second.receive() == b"is anybody there?"
            second.end()
            assert await second.receive() == b""
        records = await mesh.records(2)
    assert [each["outcome"] for each in records] == ["completed", "completed"]
    assert len(app.accepted) == 2


async def test_a_higher_limit_lets_in_who_waits_and_a_lower_one_turns_nobody_out() -> (
    None
):
    async with (
        application() as app,
        running(plain(app, connections=1), ANYBODY) as mesh,
    ):
        with await mesh.connect() as first, await mesh.connect() as second:
            await echoed(first)
            mesh.mesh.resize(Limits(connections=2))
            assert b"sidecar_connections_limit 2.0" in mesh.mesh.metrics.render()
            await echoed(second)
            mesh.mesh.resize(Limits(connections=1))
            await echoed(first, b"still here")
            await echoed(second, b"still here")
            assert mesh.slots.value == 0
        await mesh.wait_open(0)
        assert mesh.slots.value == 1


async def test_a_caller_that_gives_up_in_the_backlog_costs_no_slot() -> None:
    async with (
        application() as app,
        running(plain(app, connections=1), ANYBODY) as mesh,
    ):
        with await mesh.connect() as first:
            await echoed(first)
            (await mesh.connect()).reset()
            (await mesh.connect()).sock.close()
        with await mesh.connect() as last:
            await echoed(last)


async def test_listeners_that_nobody_calls_take_no_slots() -> None:
    """Every listener has its turn with the only slot."""
    async with application() as app:
        both = configuration(
            DISABLED, OPEN, to=app.endpoint, limits=Limits(connections=1)
        )
        async with running(both, ANYBODY) as mesh:
            await trio.testing.wait_all_tasks_blocked()
            for direction in (Direction.INBOUND, Direction.OUTBOUND) * 2:
                with await mesh.connect(direction) as wire:
                    await echoed(wire)
                    wire.end()
                    assert await wire.receive() == b""
            await mesh.records(4)


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Let every call that needs a new descriptor fail with EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Warnings(logging.Handler):
    """Tells when there have been three."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.seen: list[logging.LogRecord] = []
        self.three = trio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)
        if len(self.seen) == 3:
            self.three.set()


@contextlib.contextmanager
def noted() -> Iterator[Warnings]:
    warnings = Warnings()
    serving._LOG.addHandler(warnings)
    try:
        yield warnings
    finally:
        serving._LOG.removeHandler(warnings)


async def test_without_descriptors_it_waits_and_then_goes_on() -> None:
    async with application() as app, running(plain(app), ANYBODY) as mesh:
        with Wire(trio.socket.socket()) as wire, noted() as warnings:
            with no_descriptor_left():
                await wire.sock.connect(("127.0.0.1", mesh.port()))
                await warnings.three.wait()
            await echoed(wire)
    first, second, *_ = [vars(each) for each in warnings.seen]
    assert first["msg"] == "cannot accept, will try again"
    assert "Too many open files" in first["error"]
    assert second["seconds"] > first["seconds"]
    assert str(first["listen"]) == f"127.0.0.1:{mesh.port()}"


async def test_a_slot_is_free_again_when_waiting_for_descriptors_is_cancelled() -> None:
    """What `running` checks when it ends."""
    async with application() as app:
        with Wire(trio.socket.socket()) as wire, noted() as warnings:
            async with running(plain(app, connections=1), ANYBODY) as mesh:
                with no_descriptor_left():
                    await wire.sock.connect(("127.0.0.1", mesh.port()))
                    await warnings.three.wait()
            assert mesh.all_records == []


async def test_without_descriptors_to_dial_with_a_connection_is_reset() -> None:
    async with application() as app, running(plain(app), ANYBODY) as mesh:
        with Wire(trio.socket.socket()) as wire:
            spare = os.dup(0)
            with no_descriptor_left():
                os.close(spare)  # just enough to accept
                await wire.sock.connect(("127.0.0.1", mesh.port()))
                assert await wire.was_reset() == b""
        with await mesh.connect() as wire:
            await echoed(wire)
        first, _ = await mesh.records(2)
    assert first["outcome"] == "upstream_unreachable"
    assert "Too many open files" in first["detail"]


# --- Bugs


async def test_a_bug_costs_one_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks(*_: object, **_options: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a bug")

    async with application() as app, running(plain(app), ANYBODY) as mesh:
        with await mesh.connect() as before:
            await echoed(before)
            with monkeypatch.context() as patch, await mesh.connect() as wire:
                patch.setattr(inbound, "dial_upstream", breaks)
                assert await wire.was_reset() == b""
            await echoed(before)
            with await mesh.connect() as after:
                await echoed(after)
        records = await mesh.records(3)
    assert records[0]["outcome"] == "internal_error"
    assert "detail" not in records[0]
    (logged,) = [each for each in caplog.records if each.exc_info]
    assert "RuntimeError: a bug" in caplog.text
    assert str(vars(logged)["source"]) == records[0]["source"]
    bugs = {"direction": "inbound", "outcome": "internal_error"}
    assert mesh.samples().sum("sidecar_connections_total", **bugs) == 1


async def test_a_record_that_cannot_be_made_costs_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(_: object) -> None:
        raise RuntimeError("a bug")

    async with application() as app, running(plain(app), ANYBODY) as mesh:
        with monkeypatch.context() as patch:
            patch.setattr(mesh.mesh.access_log, "write", breaks)
            with await mesh.connect() as wire:
                await echoed(wire)
                wire.end()
                assert await wire.receive() == b""
                await mesh.wait_open(0)
        assert "RuntimeError: a bug" in caplog.text
        with await mesh.connect() as wire:
            await echoed(wire)
        await mesh.records(1)
        mesh.unwritten = 1


# --- Endings from outside


async def test_one_that_is_ended_is_reset_on_both_sides_and_says_why() -> None:
    ends: list[str] = []

    async def listens(wire: Wire) -> None:
        try:
            await wire.receive_all()
        except ConnectionResetError:
            ends.append("reset")

    async with application(listens) as app, running(plain(app), ANYBODY) as mesh:
        with await mesh.connect() as wire:
            await wire.send(b"hello")
            await mesh.wait_flows(1)
            (connection,) = mesh.mesh.connections
            connection.end(Ending(Outcome.DENIED, "the policy has changed"))
            assert await wire.was_reset() == b""
            record = await mesh.record()
        await trio.testing.wait_all_tasks_blocked(0.02)
    assert ends == ["reset"]
    assert (record["outcome"], record["detail"]) == ("denied", "the policy has changed")


async def test_one_that_has_been_open_for_its_lifetime_is_reset_though_it_is_busy(
    clock: MockClock,
) -> None:
    async with (
        application() as app,
        running(plain(app, lifetime_seconds=60), ANYBODY) as mesh,
    ):
        began = trio.current_time()
        with await mesh.connect() as wire:
            while trio.current_time() < began + 59:
                await echoed(wire)
                await trio.sleep(1)
            assert await wire.was_reset() == b""
            assert trio.current_time() == pytest.approx(began + 60, abs=0.5)
        record = await mesh.record()
        # The next one has a lifetime of its own.
        with await mesh.connect() as wire:
            await echoed(wire)
    assert record["outcome"] == "lifetime_over"
    assert record["detail"] == "open for 60 seconds"


async def test_without_a_lifetime_none_is_over(clock: MockClock) -> None:
    async with application() as app, running(plain(app), ANYBODY) as mesh:
        with await mesh.connect() as wire:
            await trio.sleep(30 * 24 * 3600)
            await echoed(wire)


async def test_one_that_is_ended_before_its_lifetime_is_over_says_so(
    clock: MockClock,
) -> None:
    async with (
        application() as app,
        running(plain(app, lifetime_seconds=60), ANYBODY) as mesh,
    ):
        with await mesh.connect() as wire:
            await mesh.wait_flows(1)
            (connection,) = mesh.mesh.connections
            connection.end(Ending(Outcome.DENIED, "the policy has changed"))
            assert await wire.was_reset() == b""
        assert (await mesh.record())["outcome"] == "denied"


async def test_one_that_is_ended_before_it_began_is_not_carried() -> None:
    """A change of policy may come between its accept and its first step."""
    async with application() as bomb, running(plain(bomb), ANYBODY) as mesh:
        with await mesh.connect() as wire:
            await mesh.wait_open(1)
            (connection,) = mesh.mesh.connections
            connection.end(Ending(Outcome.DENIED, "the policy has changed"))
            assert await wire.was_reset() == b""
        assert (await mesh.record())["outcome"] == "denied"


async def visits(mesh: Running, manners: str) -> None:
    """Be one of the many peers that a proxy meets."""
    with contextlib.suppress(*BROKEN), await mesh.connect() as wire:
        match manners:
            case "good" | "denied":
                who = svid("web" if manners == "good" else "intruder")
                tls = await client(wire, who).handshake()
                await tls.send(b"hello")
                await tls.receive()
                await tls.end()
                await tls.receive()
            case "silent":
                await trio.sleep_forever()
            case "plaintext":
                await wire.send(b"GET / HTTP/1.1\r\n\r\n")
                await wire.receive_all()
            case "stalls":
                await wire.send(hello()[:700])
                await wire.receive_all()
            case "stranger":
                stranger = client(wire, svid("web", "stranger.test"))
                await (await stranger.handshake()).receive()
            case _:
                await wire.send(hello())
                await wire.receive()
                wire.reset()


MANNERS = ["good", "denied", "silent", "plaintext", "stalls", "stranger", "resets"]


async def test_whenever_it_is_cancelled_every_connection_leaves_its_record() -> None:
    """What `running` checks when it ends, after more and more steps."""
    outcomes: set[str] = set()
    for steps in (*range(0, 120, 3), 1000):
        async with application() as app, trio.open_nursery() as peers:
            async with running(configuration(to=app.endpoint), allow("web")) as mesh:
                for manners in MANNERS:
                    peers.start_soon(visits, mesh, manners)
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
            peers.cancel_scope.cancel()
        outcomes |= {each["outcome"] for each in mesh.all_records}
    assert {"drained", "completed", "denied", "handshake_failed"} <= outcomes


async def test_whoever_comes_every_connection_leaves_its_record(
    clock: MockClock,
) -> None:
    dice = random.Random(4)
    crowd = dice.choices([each for each in MANNERS if each != "silent"], k=150)
    limits = Limits(connections=40, handshakes=6, handshake_seconds=10)
    async with (
        application() as app,
        running(configuration(to=app.endpoint, limits=limits), allow("web")) as mesh,
    ):
        async with trio.open_nursery() as peers:
            for manners in crowd:
                peers.start_soon(visits, mesh, manners)
        records = await mesh.records(len(crowd))
    counted = {
        outcome: sum(each["outcome"] == outcome for each in records)
        for outcome in ("completed", "denied", "handshake_failed")
    }
    assert counted["completed"] == crowd.count("good")
    assert counted["denied"] == crowd.count("denied")
    assert len(app.accepted) == crowd.count("good")


# --- Addresses


@pytest.mark.parametrize("host", ["::", "::1"])
async def test_a_source_is_recorded_as_people_write_it(host: str) -> None:
    async with application() as app:
        listener = Listener(Endpoint(host, 0), app.endpoint)
        inbound = Inbound(listeners=(listener,), mode=Mode.DISABLED)
        async with running(configuration(inbound), ANYBODY) as mesh:
            source = "::1" if host == "::1" else "127.0.0.1"
            with await Wire.to(Endpoint(source, mesh.port())) as wire:
                await echoed(wire)
                wire.end()
                assert await wire.receive() == b""
            record = await mesh.record()
    assert record["outcome"] == "completed"
    assert record["source"].startswith("[::1]:" if host == "::1" else "127.0.0.1:")
