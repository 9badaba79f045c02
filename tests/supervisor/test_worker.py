from __future__ import annotations

import datetime as dt
import logging
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
import yaml
from attrs import define

from sidecar.config.check import check
from sidecar.config.model import Endpoint, Listener, LogLevel
from sidecar.net import listen
from sidecar.supervisor import worker
from sidecar.supervisor.channel import Channel
from sidecar.supervisor.report import Report
from sidecar.supervisor.welcome import Inherited, Welcome
from sidecar.telemetry.labels import Direction
from sidecar.telemetry.log import LogHandler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    before = logging.getLogger().level
    caplog.set_level("INFO")
    yield
    logging.getLogger().setLevel(before)


@define
class Desk:
    """The supervisor's end."""

    channel: Channel
    port: int
    over: trio.Event

    async def tell(self, order: str, number: int = 0, **more: Any) -> None:
        await self.channel.send({"id": number, "do": order, **more})

    async def ask(self, question: str, number: int = 7) -> list[Any]:
        await self.tell(question, number)
        parts = []
        while True:
            message = await self.channel.receive()
            assert message is not None
            if message["id"] == number:
                parts.append(message.get("part"))
                if "part" not in message or message.get("last"):
                    return parts

    async def report(self, number: int = 0) -> Report:
        """Give the next report that answers that question."""
        while True:
            message = await self.channel.receive()
            assert message is not None
            if "report" in message and message["id"] == number:
                return Report.from_value(message["report"])

    async def until_ready(self) -> Report:
        while (report := await self.report()).awaited:
            pass
        return report


@asynccontextmanager
async def working(
    folder: Path, settings: dict[str, Any], to: str | None = None
) -> AsyncIterator[Desk]:
    """Run a worker on a socket of ours; the block must bring it to its end."""
    ours, theirs = socket.socketpair()
    (sock,) = listen.bind_shared(Endpoint("127.0.0.1", 0), 1)
    port = sock.getsockname()[1]
    to = to or "127.0.0.1:1"
    settings["outbound"]["listeners"] = [
        {"listen": f"127.0.0.1:{port}", "destination": to}
    ]
    path = folder / "sidecar.yaml"
    path.write_text(yaml.safe_dump(settings))
    now = dt.datetime.now(dt.UTC)
    host, _, goal = to.rpartition(":")
    listener = Listener(Endpoint("127.0.0.1", port), Endpoint(host, int(goal)))
    inherited = Inherited(Direction.OUTBOUND, listener, sock.detach())
    desk = Desk(Channel(ours), port, trio.Event())

    async def run() -> None:
        await worker.run(path, check(path, now), now, LogHandler(2), theirs)
        desk.over.set()

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            generations = {"policy": 3, "identity": 5}
            welcome = Welcome((inherited,), LogLevel.WARNING, generations)
            await desk.channel.send(welcome.to_value())
            yield desk
            await desk.over.wait()
    desk.channel.close()


async def refuses(port: int) -> bool:
    with trio.socket.socket() as sock:
        try:
            await sock.connect(("127.0.0.1", port))
        except ConnectionRefusedError:
            return True
        return False


async def test_it_serves_what_it_inherits_as_the_others_do(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    async with working(tmp_path, settings) as desk:
        report = await desk.until_ready()
        assert report.accepting
        assert report.level is LogLevel.WARNING
        assert report.generations == {"config": 1, "policy": 3, "identity": 5}
        assert not await refuses(desk.port)
        await desk.tell("stop")
    assert await refuses(desk.port)


async def test_it_reports_often_and_at_once_when_it_is_asked(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    async with working(tmp_path, settings) as desk:
        await desk.until_ready()
        assert not (await desk.report()).awaited
        await desk.tell("report", 9)
        assert (await desk.report(9)).families
        await desk.tell("stop")


async def test_it_answers_what_an_operator_asks(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_ROWS", 2)
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        to = f"127.0.0.1:{upstream.getsockname()[1]}"
        async with working(tmp_path, settings, to) as desk:
            await desk.until_ready()
            held = [trio.socket.socket() for _ in range(5)]
            for sock in held:
                await sock.connect(("127.0.0.1", desk.port))
            while True:
                parts = await desk.ask("connections")
                if sum(map(len, parts)) == 5:
                    break
            assert list(map(len, parts)) == [2, 2, 1]
            (config,) = await desk.ask("config")
            assert config["outbound"]["default"] == "plaintext"
            assert await desk.ask("reload") == [[]]
            (tmp_path / "sidecar.yaml").write_text("nonsense: 1\n")
            (problems,) = await desk.ask("reload")
            assert "nonsense" in problems[-1]
            await desk.tell("report", 8)
            assert (await desk.report(8)).warnings == {"reload": "\n".join(problems)}
            for sock in held:
                sock.close()
            await desk.tell("stop")
            await desk.tell("stop")


async def test_a_level_is_set_and_nonsense_is_passed_over(
    tmp_path: Path, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with working(tmp_path, settings) as desk:
        await desk.until_ready()
        await desk.tell("level", level="error")
        await desk.tell("dance")
        while "not an order" not in caplog.text:
            await trio.lowlevel.checkpoint()
        assert logging.getLogger().level == logging.ERROR
        await desk.tell("drain")


async def test_the_last_report_has_all_that_was_counted(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    async with working(tmp_path, settings) as desk:
        await desk.until_ready()
        assert not await refuses(desk.port)
        await desk.tell("drain")
        reports = []
        while (message := await desk.channel.receive()) is not None:
            reports.append(Report.from_value(message["report"]))
    assert not reports[-1].accepting
    counted = {
        key[1]: value
        for family in reports[-1].families
        if family.name == "sidecar_connections"
        for key, value in family.items()
    }
    assert sum(counted.values()) == 1


async def test_without_a_supervisor_it_ends(
    tmp_path: Path, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    settings["drain"] = {"delay_seconds": 1000}
    async with working(tmp_path, settings) as desk:
        await desk.until_ready()
        desk.channel.close()
    assert "the supervisor is gone" in caplog.text
    assert await refuses(desk.port)


async def test_a_supervisor_that_makes_no_sense_is_none(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    async with working(tmp_path, settings) as desk:
        await desk.until_ready()
        await desk.channel._stream.send_all(b"\0\0\0\2[]")


async def test_a_supervisor_that_is_gone_before_it_began_is_no_error() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    nothing = cast("Any", None)
    await worker.run(nothing, nothing, nothing, nothing, theirs)
    theirs.close()
