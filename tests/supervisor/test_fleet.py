from __future__ import annotations

import logging
import os
import signal
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from sidecar.admin.readiness import Readiness
from sidecar.config.model import LogLevel
from sidecar.supervisor.fleet import Fleet, names
from sidecar.supervisor.sockets import bind_slots
from tests.supervisor.scripted import SERVES, command
from tests.supervisor.test_slot import CONFIG
from tests.support.sidecars import Samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

RESTARTS = "sidecar_worker_restarts_total"


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    before = logging.getLogger().level
    caplog.set_level("INFO")
    yield
    logging.getLogger().setLevel(before)


@asynccontextmanager
async def fleet_of(
    script: str, count: int = 2
) -> AsyncIterator[tuple[Fleet, Readiness]]:
    """Run workers of that script; the block must bring them to their end."""
    readiness = Readiness(names(count))
    with ExitStack() as stack:
        fleet = Fleet(bind_slots(CONFIG, count, stack), command(script), readiness)
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                await nursery.start(fleet.serve)
                yield fleet, readiness


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - it is a script that moves
        await trio.sleep(0.005)


def page(fleet: Fleet) -> Samples:
    return Samples.parse(b"".join(fleet.render_parts()).decode())


async def test_it_is_ready_when_all_are() -> None:
    async with fleet_of(SERVES) as (fleet, readiness):
        assert readiness.body() == "worker 1\nworker 2"
        await until(lambda: readiness.ready)
        fleet.drain()
        assert readiness.body() == "draining"


async def test_it_says_who_is_awaited_and_why() -> None:
    script = (
        "report(awaited=['identity', 'policy'], warnings={'reload': 'a'}); receive()"
    )
    async with fleet_of(script, 1) as (fleet, readiness):
        await until(lambda: "policy" in readiness.body())
        assert readiness.body() == "worker 1: identity, policy\nwarning: reload: a"
        fleet.drain()


async def test_a_warning_is_there_as_long_as_any_worker_has_it() -> None:
    script = "report(warnings={'reload': 'a'}); receive(); report(); receive()"
    async with fleet_of(script) as (fleet, readiness):
        await until(lambda: readiness.ready)
        assert readiness.warnings == {"reload": "a"}
        fleet.set_level(LogLevel.INFO)
        await until(lambda: not readiness.warnings)
        fleet.stop()


async def test_a_scrape_asks_all_and_adds_up() -> None:
    async with fleet_of(SERVES) as (fleet, readiness):
        await until(lambda: readiness.ready)
        assert page(fleet)["a_total"] == 10
        await fleet.refresh()
        assert page(fleet)["a_total"] == 12
        assert page(fleet)[RESTARTS] == 0
        fleet.drain()


async def test_who_does_not_answer_is_shown_as_it_was() -> None:
    async with fleet_of(SERVES) as (fleet, readiness):
        await until(lambda: readiness.ready)
        stopped = fleet._slots[0].worker
        assert stopped is not None
        os.kill(stopped.pid, signal.SIGSTOP)
        await fleet.refresh()
        assert page(fleet)["a_total"] == 11
        os.kill(stopped.pid, signal.SIGCONT)
        fleet.drain()


async def test_a_death_is_counted_and_takes_nothing_back() -> None:
    async with fleet_of(SERVES) as (fleet, readiness):
        await until(lambda: readiness.ready)
        await fleet.refresh()
        victim = fleet._slots[0].worker
        assert victim is not None
        os.kill(victim.pid, signal.SIGKILL)
        await until(lambda: not readiness.ready)
        expected = "worker 1: ended, SIGKILL, the next one is started"
        assert readiness.body() == expected
        assert (page(fleet)["a_total"], page(fleet)[RESTARTS]) == (12, 1)
        await until(lambda: readiness.ready)
        assert page(fleet)["a_total"] == 17
        fleet.drain()


async def test_what_is_asked_is_asked_of_all() -> None:
    async with fleet_of(SERVES) as (fleet, readiness):
        assert await fleet.config() == {}
        await until(lambda: readiness.ready)
        assert await fleet.reload() == ["broken", "too"]
        assert await fleet.connections() == [
            {"worker": number, "source": source} for number in (1, 2) for source in "ab"
        ]
        first = fleet._slots[0].worker
        assert first is not None
        assert await fleet.config() == {"pid": first.pid}
        fleet.drain()


async def test_who_dies_of_a_question_is_passed_over() -> None:
    script = "report(); receive(); sys.exit(1)"
    async with fleet_of(script) as (fleet, readiness):
        await until(lambda: readiness.ready)
        assert await fleet.config() == {}
        await until(lambda: readiness.ready)
        assert await fleet.reload() == []
        fleet.stop()


async def test_a_level_is_that_of_all_and_a_workers_is_taken_over() -> None:
    async with fleet_of(SERVES) as (fleet, readiness):
        await until(lambda: readiness.ready)
        fleet.set_level(LogLevel.ERROR)
        assert logging.getLogger().level == logging.ERROR
        reports = [slot.report for slot in fleet._slots]
        await until(
            lambda: all(
                a.report is not b for a, b in zip(fleet._slots, reports, strict=True)
            )
        )
        for slot in fleet._slots:
            assert slot.report is not None
            assert slot.report.level is LogLevel.ERROR
        await fleet.refresh()  # they say INFO again: a reload of theirs
        assert logging.getLogger().level == logging.INFO
        fleet.stop()


async def test_a_successor_begins_in_the_highest_generation() -> None:
    family = "['sidecar_generation', 'gauge', '', [['g', {'what': 'policy'}, 4]]]"
    script = f"report(warnings={{'g': str(welcome['generations'])}}, families=[{family}])\nreceive()"
    async with fleet_of(script, 1) as (fleet, readiness):
        await until(lambda: readiness.ready)
        assert readiness.warnings == {"g": "{}"}
        fleet.set_level(LogLevel.INFO)  # it ends of it
        await until(lambda: readiness.warnings == {"g": "{'policy': 4}"})
        fleet.stop()


async def test_who_does_not_end_is_ended_when_told_twice() -> None:
    script = "report()\nwhile True: receive()"
    async with fleet_of(script) as (fleet, readiness):
        await until(lambda: readiness.ready)
        fleet.stop()
        fleet.drain()
        fleet.stop()
