from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from attrs import frozen
from prometheus_client import CollectorRegistry
from trio.testing import MockClock

from sidecar.admin.readiness import Readiness
from sidecar.assembly import build_mesh
from sidecar.config.check import Checked
from sidecar.config.model import AccessLevel, Drain, Endpoint, Inbound, Mode
from sidecar.lifecycle import Lifecycle
from sidecar.policy.model import Policy
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.metrics import Metrics
from tests.support.mesh import (
    Wire,
    _bind,
    allow,
    application,
    configuration,
    material,
    svid,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sidecar.proxy.mesh import Mesh

LONG = 1000.0


@pytest.fixture
def clock() -> MockClock:
    """Jumps to the next deadline when nothing has happened for a while.

    For a while: what is sent over loopback may take a moment to arrive.
    """
    return MockClock(autojump_threshold=0.02)


@frozen
class Life:
    """A lifecycle that serves."""

    lifecycle: Lifecycle
    readiness: Readiness
    mesh: Mesh
    port: int
    over: trio.Event

    async def connect(self) -> Wire:
        return await Wire.to(Endpoint("127.0.0.1", self.port))

    async def open(self) -> Wire:
        """Connect, and wait until it is carried."""
        wire = await self.connect()
        await echoed(wire)
        return wire

    async def refuses(self) -> bool:
        try:
            (await self.connect()).sock.close()
        except ConnectionRefusedError:
            return True
        return False

    def outcomes(self) -> dict[str, float]:
        text = self.mesh.metrics.render().decode()
        lines = [line for line in text.splitlines() if "_connections_total{" in line]
        return {
            line.split('outcome="')[1].split('"')[0]: float(line.rpartition(" ")[2])
            for line in lines
            if 'direction="inbound",outcome=' in line and not line.endswith(" 0.0")
        }


async def echoed(wire: Wire, data: bytes = b"hello") -> None:
    await wire.send(data)
    assert await wire.receive() == data


@contextlib.asynccontextmanager
async def living(delay: float = 0, deadline: float = LONG) -> AsyncIterator[Life]:
    """Serve an echo without TLS; the block must bring it to its end."""
    async with application() as app:
        sockets, config = _bind(
            configuration(
                Inbound(mode=Mode.DISABLED),
                to=app.endpoint,
                drain=Drain(delay, deadline),
            )
        )
        metrics = Metrics(CollectorRegistry())
        checked = Checked(
            config,
            Policy(rules=(allow("unauthenticated"),)),
            material(svid("api")),
            (),
        )
        access_log = AccessLog(2, AccessLevel.NONE, metrics.access_records_dropped)
        mesh = build_mesh(Path("sidecar.yaml"), checked, metrics, access_log)
        readiness = Readiness(["listeners"])
        lifecycle = Lifecycle(mesh, readiness)
        listening = [(way, listener, sock) for (way, listener, _), sock in sockets]
        port = sockets[0][1].getsockname()[1]
        life = Life(lifecycle, readiness, mesh, port, trio.Event())

        async def serve() -> None:
            await lifecycle.serve(listening)
            life.over.set()

        assert not readiness.ready
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(mesh.engine.run)
                nursery.start_soon(serve)
                with trio.fail_after(LONG / 2):
                    await trio.testing.wait_all_tasks_blocked()
                    yield life
                    await life.over.wait()
                assert len(mesh.connections) == 0
                assert await life.refuses()
                nursery.cancel_scope.cancel()
        finally:
            mesh.engine.close()
            for _, _, sock in listening:
                sock.close()


async def test_it_is_ready_while_it_serves_and_not_while_it_drains() -> None:
    async with living() as life:
        assert life.readiness.ready
        with await life.open():
            life.lifecycle.drain()
            assert not life.readiness.ready
            assert life.readiness.body() == "draining"


async def test_without_connections_a_drain_ends_at_once() -> None:
    async with living() as life:
        life.lifecycle.drain()
        with trio.fail_after(5):
            await life.over.wait()


async def test_a_drain_lets_open_connections_finish_and_takes_no_new_ones() -> None:
    async with living() as life:
        with await life.open() as wire:
            life.lifecycle.drain()
            await trio.testing.wait_all_tasks_blocked()
            assert await life.refuses()
            await echoed(wire, b"still here")
            assert not life.over.is_set()
            wire.end()
            assert await wire.receive() == b""
        await life.over.wait()
    assert life.outcomes() == {"completed": 1}


async def test_during_the_delay_new_connections_are_served(clock: MockClock) -> None:
    async with living(delay=10) as life:
        began = trio.current_time()
        life.lifecycle.drain()
        await trio.sleep(9)
        with await life.open() as wire:
            wire.end()
        await trio.sleep(2)
        assert await life.refuses()
        await life.over.wait()
        assert trio.current_time() - began == pytest.approx(11, abs=0.5)


async def test_the_deadline_cuts_what_is_left(
    clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sidecar.lifecycle")
    async with living(delay=5, deadline=10) as life:
        began = trio.current_time()
        with await life.open() as one, await life.open() as other:
            life.lifecycle.drain()
            other.end()
            assert await other.receive() == b""
            assert await one.was_reset() == b""
        await life.over.wait()
        # The deadline runs from the end of the delay.
        assert trio.current_time() - began == pytest.approx(15, abs=1)
    assert life.outcomes() == {"completed": 1, "drained": 1}
    said = {record.message: vars(record) for record in caplog.records}
    assert said["draining"]["open"] == 2
    assert said["drained"]["cut"] == 1


@pytest.mark.parametrize("delay", [0, LONG])
async def test_told_to_stop_twice_it_ends_at_once(delay: float) -> None:
    async with living(delay=delay) as life:
        with await life.open() as wire:
            life.lifecycle.stop()
            await echoed(wire, b"still here")
            assert not life.over.is_set()
            life.lifecycle.stop()
            assert await wire.was_reset() == b""
        with trio.fail_after(5):
            await life.over.wait()
    assert life.outcomes() == {"drained": 1}


async def test_abandoned_it_accepts_no_more_and_lets_connections_finish() -> None:
    async with living(delay=LONG) as life:
        assert life.lifecycle.accepts.is_set()
        with await life.open() as wire:
            life.lifecycle.drain()
            await trio.testing.wait_all_tasks_blocked()
            assert not life.lifecycle.accepts_no_more.is_set()
            life.lifecycle.abandon()
            await life.lifecycle.accepts_no_more.wait()
            assert await life.refuses()
            await echoed(wire, b"still here")
            wire.end()
        with trio.fail_after(5):
            await life.over.wait()
    assert life.outcomes() == {"completed": 1}


async def test_told_to_stop_after_a_drain_began_it_still_lets_connections_finish() -> (
    None
):
    """As a preStop hook and the kubelet do, one after the other."""
    async with living() as life:
        with await life.open() as wire:
            life.lifecycle.drain()
            life.lifecycle.drain()
            life.lifecycle.stop()
            await trio.testing.wait_all_tasks_blocked()
            await echoed(wire, b"still here")
            wire.end()
        await life.over.wait()
    assert life.outcomes() == {"completed": 1}


async def test_a_caller_that_comes_with_the_drain_is_served_or_refused() -> None:
    async with living(delay=0) as life:
        callers = [await life.connect() for _ in range(20)]
        life.lifecycle.drain()
        for wire in callers:
            with wire, contextlib.suppress(ConnectionError):
                await echoed(wire)
        await life.over.wait()


class Hung:
    """A reload whose files do not answer."""

    def __init__(self) -> None:
        self.begun = 0

    async def __call__(self) -> None:
        self.begun += 1
        await trio.sleep_forever()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_and_the_second_ends_at_once(
    number: signal.Signals,
) -> None:
    async with living() as life, trio.open_nursery() as nursery:
        await nursery.start(life.lifecycle.watch_signals, Hung())
        with await life.open() as wire:
            os.kill(os.getpid(), number)
            while not life.readiness.draining:
                await trio.lowlevel.checkpoint()
            await echoed(wire)
            os.kill(os.getpid(), number)
            await wire.was_reset()
        await life.over.wait()
        nursery.cancel_scope.cancel()


async def test_a_reload_that_hangs_does_not_hold_up_the_end() -> None:
    reload = Hung()
    async with living() as life, trio.open_nursery() as nursery:
        await nursery.start(life.lifecycle.watch_signals, reload)
        for wanted in (1, 2):
            os.kill(os.getpid(), signal.SIGHUP)
            while reload.begun < wanted:
                await trio.lowlevel.checkpoint()
        assert life.readiness.ready
        os.kill(os.getpid(), signal.SIGTERM)
        with trio.fail_after(5):
            await life.over.wait()
        nursery.cancel_scope.cancel()
