from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from sidecar.config.model import LogLevel
from sidecar.supervisor.process import GoneError, WorkerProcess, ending
from sidecar.supervisor.welcome import Welcome
from tests.supervisor.scripted import SERVES, command

if TYPE_CHECKING:
    from sidecar.supervisor.report import Report

WELCOME = Welcome((), LogLevel.INFO, {"policy": 3})


class Worker:
    """A worker that runs a script, what it says, and how it ends."""

    def __init__(self, script: str) -> None:
        self.script = script
        self.reports: list[Report] = []
        self.heard = trio.Event()
        self.how: str | None = None
        self.process: WorkerProcess

    def take(self, report: Report) -> None:
        self.reports.append(report)
        self.heard.set()

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        self.process = await WorkerProcess.start(command(self.script), (), self.take)
        task_status.started()
        with trio.fail_after(20):
            self.how = await self.process.run(WELCOME)


async def started(worker: Worker, nursery: trio.Nursery) -> WorkerProcess:
    await nursery.start(worker.run)
    return worker.process


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("sys.exit(0)", "exit status 0"),
        ("sys.exit(2)", "exit status 2"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("send({'report': {}}); receive()", "SIGKILL"),
        ("sock.sendall(b'HTTP/1.1 200 OK'); receive()", "SIGKILL"),
    ],
)
async def test_it_is_said_how_a_worker_ended(script: str, how: str) -> None:
    worker = Worker(script)
    async with trio.open_nursery() as nursery:
        await started(worker, nursery)
    assert worker.how == how


def test_a_signal_without_a_name_has_a_number() -> None:
    assert ending(-signal.SIGRTMIN - 1) == f"signal {signal.SIGRTMIN + 1}"


async def test_its_last_words_are_heard() -> None:
    worker = Worker("report(count=1); report(count=2)")
    async with trio.open_nursery() as nursery:
        await started(worker, nursery)
    counts = [next(iter(each.families[0].series.values())) for each in worker.reports]
    assert counts == [1, 2]


async def test_it_is_welcomed_and_answers() -> None:
    worker = Worker(
        "report(warnings=dict(policy=str(welcome['generations'])))" + SERVES
    )
    async with trio.open_nursery() as nursery:
        process = await started(worker, nursery)
        await worker.heard.wait()
        assert worker.reports[0].warnings == {"policy": "{'policy': 3}"}
        before = len(worker.reports)
        assert len(await process.ask("report")) == 1
        assert len(worker.reports) > before
        assert await process.ask("connections") == [
            [{"source": "a"}],
            [{"source": "b"}],
        ]
        assert await process.ask("config") == [{"pid": process.pid}]
        await process.tell("drain")
    assert worker.how == "exit status 0"


async def test_who_asks_one_that_ends_is_told() -> None:
    worker = Worker("receive(); sys.exit(1)")
    async with trio.open_nursery() as nursery:
        process = await started(worker, nursery)
        with pytest.raises(GoneError):
            await process.ask("report")
    with pytest.raises(GoneError):
        await process.ask("report")
    await process.tell("drain")


async def test_an_answer_that_nobody_awaits_any_more_is_passed_over() -> None:
    script = """
first, second = receive(), receive()
for asked in first, second:
    send({"id": asked["id"], "part": asked["do"], "last": True})
"""
    worker = Worker(script + SERVES)
    async with trio.open_nursery() as nursery:
        process = await started(worker, nursery)
        async with trio.open_nursery() as asking:
            asking.start_soon(process.ask, "never mind")
            await trio.testing.wait_all_tasks_blocked()
            asking.cancel_scope.cancel()
        assert await process.ask("config") == ["config"]
        await process.tell("stop")


async def test_cancelled_it_leaves_no_process() -> None:
    worker = Worker("while True: signal.pause()")
    async with trio.open_nursery() as nursery:
        process = await started(worker, nursery)
        nursery.cancel_scope.cancel()
    assert process._process.returncode == -signal.SIGKILL


async def test_a_command_that_does_not_exist_is_told() -> None:
    with pytest.raises(FileNotFoundError):
        await WorkerProcess.start(("/does/not/exist",), (), lambda _: None)
