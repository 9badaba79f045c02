"""The life of the supervisor: bind, start the workers, end when the last has ended.

It carries no connection. It holds the sockets, answers HTTP, and passes on what
signals and the admin listener ask for.
"""

from __future__ import annotations

import inspect
from contextlib import ExitStack
from typing import TYPE_CHECKING

import trio

from sidecar.admin.http import HttpLimits
from sidecar.admin.readiness import Readiness
from sidecar.admin.server import AdminActions, Pages, admin_handler, telemetry_handler
from sidecar.assembly import build_credentials
from sidecar.binding import bind_http, start_http
from sidecar.redirect import sole_user
from sidecar.signals import watch_signals
from sidecar.supervisor.fleet import Fleet, names
from sidecar.supervisor.sockets import bind_slots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from sidecar.admin.messages import Handler, Request, Response
    from sidecar.config.check import Checked
    from sidecar.telemetry.log import LogHandler


async def run(
    path: Path,
    checked: Checked,
    count: int,
    command: Sequence[str],
    log: LogHandler,
    probes: Pages = Pages(),  # noqa: B008 - frozen
) -> None:
    """Have *count* processes, each started by *command*, serve what *path* said.

    The *probes* of the application are performed here when they are asked for.

    Raises:
        ConfigError: OpenSSL refuses a part of the configuration.
        BindError: An address is in use, or not ours to bind.
    """
    build_credentials(path, checked)  # said here once, rather than by every worker
    with ExitStack() as stack:
        slots = bind_slots(checked.config, count, stack)
        telemetry, admin = bind_http(checked.config, stack)
        readiness = Readiness(names(count))
        fleet = Fleet(slots, command, readiness)
        pages = telemetry_handler(fleet, readiness, probes.routes)
        handlers = (
            (telemetry, freshened(pages, fleet.refresh), probes.limits),
            (admin, admin_handler(_actions(fleet)), HttpLimits()),
        )
        async with trio.open_nursery() as background:
            background.start_soon(sole_user.watch, checked.config)
            await background.start(log.run)
            async with trio.open_nursery() as serving:
                await serving.start(fleet.serve)
                await background.start(watch_signals, fleet.stop, fleet.reload)
                await start_http(background, handlers)
            background.cancel_scope.cancel()


def freshened(handler: Handler, refresh: Callable[[], Awaitable[None]]) -> Handler:
    """*handler*, with its metrics made fresh before they are shown."""

    async def answer(request: Request) -> Response:
        if request.path == "/metrics":
            await refresh()
        response = handler(request)
        return await response if inspect.isawaitable(response) else response

    return answer


def _actions(fleet: Fleet) -> AdminActions:
    return AdminActions(
        connections=fleet.connections,
        config=fleet.config,
        reload=fleet.reload,
        drain=fleet.drain,
        quit=fleet.stop,
        set_level=fleet.set_level,
    )
