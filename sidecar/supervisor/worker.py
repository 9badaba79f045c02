"""One of several processes: it carries connections, and is told what to do.

Signals are the supervisor's. A terminal or a service manager may send them to all
processes at once, and what the worker is to do about it comes to it in order.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import trio

from sidecar.app import build, operate
from sidecar.binding import place
from sidecar.config.model import LogLevel
from sidecar.introspection import config_value, live_connections
from sidecar.net import listen
from sidecar.supervisor.channel import Channel
from sidecar.supervisor.exposition import family_of
from sidecar.supervisor.frames import FrameError
from sidecar.supervisor.report import Report
from sidecar.supervisor.welcome import Welcome
from sidecar.telemetry import log as logs

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from sidecar.app import Node
    from sidecar.config.check import Checked
    from sidecar.lifecycle import Listening
    from sidecar.telemetry.log import LogHandler
    from sidecar.telemetry.metrics import What

_LOG = logging.getLogger(__name__)

_REPORT_SECONDS: Final = 1.0
# Connections in a frame: others on the event loop have their turns in between.
_ROWS: Final = 200


async def run(
    path: Path,
    checked: Checked,
    checked_at: datetime,
    log: LogHandler,
    control: socket.socket,
) -> None:
    """Serve what *path* said at *checked_at*, as the other end of *control* tells us.

    Raises:
        ConfigError: OpenSSL refuses a part of the configuration.
        BindError: A socket that is inherited cannot be listened to.
    """
    channel = Channel(control)
    first = await channel.receive()
    if first is None:
        return  # the supervisor is gone already
    welcome = Welcome.from_value(first)
    logs.set_level(welcome.level)
    checked = welcome.applied_to(checked)
    whats: tuple[What, ...] = ("config", "policy", "identity")
    generations = {what: welcome.generations.get(what, 1) for what in whats}
    with ExitStack() as stack:
        node = build(path, checked, checked_at, stack, generations)
        data = _inherit(welcome, stack)
        agent = Agent(node, channel)
        await operate(node, log, data, agent.start)
        # The last of what was counted: the supervisor goes on showing it.
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await agent.report()
        channel.close()


def _inherit(welcome: Welcome, stack: ExitStack) -> tuple[Listening, ...]:
    data = []
    for each in welcome.inherited:
        sock = stack.enter_context(socket.socket(fileno=each.fd))
        with place(f"{each.direction}.listeners", each.listener.listen):
            listen.hear(sock)
        data.append((each.direction, each.listener, sock))
    return tuple(data)


class Agent:
    """Speaks for *node* over *channel*."""

    def __init__(self, node: Node, channel: Channel) -> None:
        self._node = node
        self._channel = channel
        self._one_report = trio.Lock()

    async def start(self, background: trio.Nursery) -> None:
        """Listen and report until *background* is cancelled."""
        background.start_soon(self._hear)
        background.start_soon(self._report_often)
        background.start_soon(self._report_after, self._node.lifecycle.accepts)
        background.start_soon(self._report_after, self._node.lifecycle.accepts_no_more)

    async def report(self, number: int = 0) -> None:
        """Say how we are; *number* is that of the question, 0 where nobody asked.

        Raises:
            trio.BrokenResourceError: The supervisor is gone.
        """
        node = self._node
        # One at a time: an old snapshot must not overtake a new one.
        async with self._one_report:
            families = []
            for metric in node.metrics.families():
                families.append(family_of(metric))
                await trio.lowlevel.checkpoint()
            report = Report(
                awaited=node.readiness.pending(),
                warnings=node.readiness.warnings,
                accepting=not node.lifecycle.accepts_no_more.is_set(),
                level=logs.current_level(),
                families=tuple(families),
            )
            await self._channel.send({"id": number, "report": report.to_value()})

    async def _report_often(self) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while True:
                await self.report()
                await trio.sleep(_REPORT_SECONDS)

    async def _report_after(self, event: trio.Event) -> None:
        await event.wait()
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self.report()

    async def _hear(self) -> None:
        async with trio.open_nursery() as answers:
            with contextlib.suppress(FrameError, trio.ClosedResourceError):
                while (message := await self._channel.receive()) is not None:
                    answers.start_soon(self._answer, message)
            _LOG.warning("the supervisor is gone, draining")
            self._node.lifecycle.abandon()

    async def _answer(self, message: dict[str, Any]) -> None:
        number = message.get("id", 0)
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            match message.get("do"):
                case "report":
                    await self.report(number)
                case "connections":
                    await self._tell_connections(number)
                case "config":
                    await self._tell(number, config_value(self._node.mesh.config))
                case "reload":
                    await self._tell(number, await self._node.reloader.reload())
                case "drain":
                    self._node.lifecycle.drain()
                case "stop":
                    self._node.lifecycle.stop()
                case "level":
                    logs.set_level(LogLevel(message.get("level", "info")))
                case other:
                    _LOG.error("not an order", extra={"order": str(other)})

    async def _tell_connections(self, number: int) -> None:
        rows = []
        for row in live_connections(self._node.mesh):
            rows.append(row)
            if len(rows) == _ROWS:
                await self._channel.send({"id": number, "part": rows})
                rows = []
        await self._tell(number, rows)

    async def _tell(self, number: int, value: Any) -> None:
        await self._channel.send({"id": number, "part": value, "last": True})
