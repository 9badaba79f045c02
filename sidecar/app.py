"""The life of the process: bind, serve, drain.

Everything that can fail at start is done before the first connection is accepted:
every address is bound before any is served. Nothing is decided here.
"""

from __future__ import annotations

import platform
from contextlib import ExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen
from prometheus_client import CollectorRegistry

from sidecar import __version__
from sidecar.admin.http import HttpLimits
from sidecar.admin.readiness import Readiness
from sidecar.admin.server import AdminActions, Pages, admin_handler, telemetry_handler
from sidecar.assembly import build_mesh, declare_labels, listeners_of
from sidecar.binding import bind, bind_http, start_http
from sidecar.expiry import watch_own_certificate
from sidecar.introspection import config_value, live_connections
from sidecar.lifecycle import Lifecycle
from sidecar.proxy.memory import give_back
from sidecar.proxy.recheck import Recheck
from sidecar.proxy.report import publish_bytes
from sidecar.redirect import sole_user
from sidecar.reload import Reloader
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.metrics import Metrics
from sidecar.tls.context import SSL_VERSION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from sidecar.config.check import Checked
    from sidecar.config.model import Config
    from sidecar.lifecycle import Listening
    from sidecar.proxy.mesh import Mesh
    from sidecar.telemetry.log import LogHandler
    from sidecar.telemetry.metrics import What

_STDOUT: Final = 1
# The drain ends many connections at once, and whoever reads their records needs a while.
_LAST_RECORDS_SECONDS: Final = 1.0


@frozen
class Node:
    """All that carries connections in one process."""

    mesh: Mesh
    readiness: Readiness
    lifecycle: Lifecycle
    reloader: Reloader

    @property
    def metrics(self) -> Metrics:
        """What it counts."""
        return self.mesh.metrics


async def run(
    path: Path,
    checked: Checked,
    checked_at: datetime,
    log: LogHandler,
    probes: Pages = Pages(),  # noqa: B008 - frozen
) -> None:
    """Serve what *path* said at *checked_at* until told to stop, then drain.

    The *probes* of the application are performed when they are asked for.

    Raises:
        ConfigError: OpenSSL refuses a part of the configuration.
        BindError: An address is in use, or not ours to bind.
    """
    with ExitStack() as stack:
        node = build(path, checked, checked_at, stack)
        data = _bind_data(node.mesh.config, stack)
        telemetry, admin = bind_http(node.mesh.config, stack)
        pages = telemetry_handler(node.metrics, node.readiness, probes.routes)
        handlers = (
            (telemetry, pages, probes.limits),
            (admin, admin_handler(_actions(node)), HttpLimits()),
        )

        async def open_front(background: trio.Nursery) -> None:
            reload = node.reloader.reload
            background.start_soon(sole_user.watch, node.mesh.config)
            await background.start(node.lifecycle.watch_signals, reload)
            await start_http(background, handlers)

        await operate(node, log, data, open_front)


def build(
    path: Path,
    checked: Checked,
    checked_at: datetime,
    stack: ExitStack,
    generations: Mapping[What, int] = MappingProxyType({}),
) -> Node:
    """Make what `operate` needs; what has to be closed at the end goes on *stack*.

    Raises:
        ConfigError: OpenSSL refuses a part of the configuration.
    """
    metrics = Metrics(CollectorRegistry())
    metrics.build_info(__version__, platform.python_version(), SSL_VERSION)
    declare_labels(checked, metrics)
    access_log = AccessLog(
        _STDOUT, checked.config.log.access, metrics.access_records_dropped
    )
    begin = generations.get("identity", 1)
    mesh = build_mesh(path, checked, metrics, access_log, begin)
    stack.callback(mesh.engine.close)
    metrics.on_scrape(lambda: _publish_bytes(mesh))
    readiness = Readiness()
    return Node(
        mesh,
        readiness,
        Lifecycle(mesh, readiness),
        Reloader(path, checked, checked_at, mesh, readiness, generations),
    )


async def operate(
    node: Node,
    log: LogHandler,
    data: Sequence[Listening],
    open_front: Callable[[trio.Nursery], Awaitable[None]],
) -> None:
    """Serve *data* until told to stop, then drain.

    *open_front* starts, in the nursery that it is given, whatever tells it to.

    Cancellation:
        Open connections are reset.
    """
    mesh = node.mesh
    async with trio.open_nursery() as background:
        await background.start(log.run)
        await background.start(mesh.access_log.run)
        background.start_soon(mesh.engine.run)
        background.start_soon(Recheck(mesh).run)
        background.start_soon(mesh.hosts.keep_fresh)
        background.start_soon(give_back, mesh.connections)
        background.start_soon(watch_own_certificate, mesh, node.readiness)
        if mesh.identified.is_set():
            node.readiness.done("identity")
        node.readiness.done("policy")
        background.start_soon(node.reloader.source.run)
        await open_front(background)
        background.start_soon(node.reloader.watch)
        await node.lifecycle.serve(data)
        await mesh.access_log.flush(_LAST_RECORDS_SECONDS)
        background.cancel_scope.cancel()


def _actions(node: Node) -> AdminActions:
    return AdminActions(
        connections=lambda: live_connections(node.mesh),
        config=lambda: config_value(node.mesh.config),
        reload=node.reloader.reload,
        drain=node.lifecycle.drain,
        quit=node.lifecycle.stop,
    )


def _publish_bytes(mesh: Mesh) -> None:
    for connection in mesh.connections:
        publish_bytes(connection, mesh)


def _bind_data(config: Config, stack: ExitStack) -> tuple[Listening, ...]:
    return tuple(
        (
            direction,
            each,
            bind(f"{name}.listen", each.listen, stack, transparent=each.transparent),
        )
        for direction, each, name in listeners_of(config)
    )
