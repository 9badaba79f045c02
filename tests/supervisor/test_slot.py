from __future__ import annotations

import os
import signal
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import trio
import trio.testing
from attrs import evolve

from sidecar.config.model import (
    ORIGINAL,
    Config,
    Endpoint,
    Identity,
    Inbound,
    Listener,
    LogLevel,
)
from sidecar.supervisor.slot import Slot
from sidecar.supervisor.sockets import bind_slots
from sidecar.supervisor.welcome import Inherited, Welcome
from tests.supervisor.scripted import SERVES, command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sidecar.supervisor.report import Report

LISTENER = Listener(Endpoint("127.0.0.1", 0), ORIGINAL)
CONFIG = evolve(
    Config(Identity(Path("a"), Path("b"), {})), inbound=Inbound((LISTENER,))
)


class Keeper:
    """Takes down what happens."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._changed = trio.Event()

    def welcome(self, inherited: tuple[Inherited, ...]) -> Welcome:
        return Welcome(inherited, LogLevel.INFO, {})

    def heard(self, slot: Slot, report: Report) -> None:
        self._note(f"heard {', '.join(report.awaited)}".strip())

    def left(self, slot: Slot) -> None:
        self._note("left")

    def ended(self, slot: Slot, how: str) -> None:
        self._note(f"ended {how}")

    def _note(self, event: str) -> None:
        self.events.append(event)
        self._changed.set()

    async def until(self, event: str, count: int = 1) -> None:
        with trio.fail_after(20):
            while self.events.count(event) < count:
                self._changed = trio.Event()
                await self._changed.wait()


@asynccontextmanager
async def kept(
    script: str, silent_seconds: float = 60
) -> AsyncIterator[tuple[Slot, Keeper, int]]:
    """Keep a worker of that script; the block's end waits until it is over."""
    keeper = Keeper()
    with ExitStack() as stack:
        (sockets,) = bind_slots(CONFIG, 1, stack)
        port = sockets.inherited()[0].listener.listen.port
        slot = Slot(1, sockets, command(script), keeper, silent_seconds)
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(slot.keep)
                yield slot, keeper, port


async def calls(port: int) -> bool:
    """Whether somebody hears the callers of *port*."""
    with trio.socket.socket() as sock:
        try:
            await sock.connect(("127.0.0.1", port))
        except ConnectionRefusedError:
            return False
        return True


async def told_to_end(slot: Slot) -> None:
    slot.end()
    assert slot.worker is not None
    await slot.worker.tell("stop")


async def test_a_worker_that_dies_has_a_successor_and_its_callers_wait() -> None:
    async with kept(SERVES) as (slot, keeper, port):
        await keeper.until("heard")
        assert slot.serves
        assert slot.worker is not None
        os.kill(slot.worker.pid, signal.SIGKILL)
        await keeper.until("ended SIGKILL")
        assert not slot.serves
        assert await calls(port)
        await keeper.until("heard", 2)
        await told_to_end(slot)
    assert keeper.events == ["heard", "left", "ended SIGKILL", "heard", "left"]
    assert not await calls(port)


async def test_one_that_cannot_start_keeps_no_callers_waiting() -> None:
    async with kept("sys.exit(2)") as (slot, keeper, port):
        await keeper.until("ended exit status 2", 2)
        assert slot.report is None
        assert not await calls(port)
        slot.end()


async def test_one_that_is_not_ready_is_not_waited_for() -> None:
    script = "report(awaited=['policy'])\nwhile True: signal.pause()"
    async with kept(script) as (slot, keeper, _):
        await keeper.until("heard policy")
        assert not slot.serves
        slot.end()
    assert keeper.events == ["heard policy", "left"]


async def test_what_the_worker_has_closed_is_closed_here() -> None:
    script = "report(); receive(); os.close(welcome['inherited'][0][3])\n"
    script += "report(accepting=False); receive()"
    async with kept(script) as (slot, keeper, port):
        await keeper.until("heard")
        assert slot.worker is not None
        await slot.worker.tell("drain")
        await keeper.until("heard", 2)
        assert not await calls(port)
        await told_to_end(slot)


async def test_a_program_that_is_gone_is_tried_again() -> None:
    keeper = Keeper()
    with ExitStack() as stack:
        (sockets,) = bind_slots(CONFIG, 1, stack)
        slot = Slot(1, sockets, ("/does/not/exist",), keeper)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(slot.keep)
            gone = "ended [Errno 2] No such file or directory: '/does/not/exist'"
            await keeper.until(gone, 2)
            slot.end()


async def test_ended_at_once_nobody_is_started() -> None:
    async with kept(SERVES) as (slot, keeper, port):
        slot.end()
    assert keeper.events == []
    assert not await calls(port)


async def test_ended_while_one_is_being_started_nobody_is_left() -> None:
    async with kept("while True: signal.pause()") as (slot, keeper, _):
        await trio.testing.wait_all_tasks_blocked()
        slot.end()
    assert keeper.events == ["left"]
    assert slot.name == "worker 1"


async def test_ended_between_two_the_second_is_not_started() -> None:
    async with kept("sys.exit(2)") as (slot, keeper, _):
        await keeper.until("ended exit status 2", 3)
        slot.end()
    assert keeper.events == ["left", "ended exit status 2"] * 3


async def test_a_worker_that_hangs_is_taken_for_dead() -> None:
    async with kept(SERVES, silent_seconds=0.5) as (slot, keeper, _):
        await keeper.until("heard")
        assert slot.worker is not None
        os.kill(slot.worker.pid, signal.SIGSTOP)
        await keeper.until("ended SIGKILL")
        await keeper.until("heard", 2)
        await told_to_end(slot)


async def test_one_that_does_not_serve_yet_may_be_silent() -> None:
    begins = "import time\ntime.sleep(0.6)\n"
    async with kept(begins + SERVES, silent_seconds=0.2) as (slot, keeper, _):
        await keeper.until("heard")
        await told_to_end(slot)
    assert keeper.events == ["heard", "left"]
