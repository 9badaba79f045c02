"""The life of the process: bind, serve, drain.

Everything that can fail at start is done before the first connection is accepted:
every address is bound before any is served. Nothing is decided here.
"""

from __future__ import annotations

import logging
import platform
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen
from prometheus_client import CollectorRegistry

from sidecar import __version__
from sidecar.admin.accept import serve as serve_http, stream_listener
from sidecar.admin.readiness import Readiness
from sidecar.admin.server import AdminActions, admin_handler, telemetry_handler
from sidecar.admin.unix_socket import bound as bound_unix_socket
from sidecar.assembly import build_mesh, declare_labels, listeners_of
from sidecar.config.model import UnixSocket
from sidecar.introspection import config_value, live_connections
from sidecar.lifecycle import Lifecycle
from sidecar.net import listen
from sidecar.proxy.report import publish_bytes
from sidecar.reload import Reloader
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.metrics import Metrics
from sidecar.tls.context import SSL_VERSION

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from sidecar.config.check import Checked
    from sidecar.config.model import Config, Endpoint, Listener
    from sidecar.proxy.mesh import Mesh
    from sidecar.telemetry.labels import Direction
    from sidecar.telemetry.log import LogHandler

_LOG = logging.getLogger(__name__)
_STDOUT: Final = 1
# The drain ends many connections at once, and whoever reads their records needs a while.
_LAST_RECORDS_SECONDS: Final = 1.0


class BindError(Exception):
    """An address cannot be bound; the message names its place in the configuration."""


@frozen
class _Bound:
    """The sockets of the process, all listening."""

    data: tuple[tuple[Direction, Listener, socket.socket], ...]
    telemetry: socket.socket
    admin: socket.socket


async def run(
    path: Path, checked: Checked, checked_at: datetime, log: LogHandler
) -> None:
    """Serve what *path* said at *checked_at* until told to stop, then drain.

    Raises:
        ConfigError: OpenSSL refuses a part of the configuration.
        BindError: An address is in use, or not ours to bind.
    """
    metrics = Metrics(CollectorRegistry())
    metrics.build_info(__version__, platform.python_version(), SSL_VERSION)
    declare_labels(checked, metrics)
    access_log = AccessLog(
        _STDOUT, checked.config.log.access, metrics.access_records_dropped
    )
    mesh = build_mesh(path, checked, metrics, access_log)
    metrics.on_scrape(lambda: _publish_bytes(mesh))
    with ExitStack() as stack:
        stack.callback(mesh.engine.close)
        sockets = _bind(mesh.config, stack)
        async with trio.open_nursery() as background:
            await background.start(log.run)
            await background.start(access_log.run)
            background.start_soon(mesh.engine.run)
            background.start_soon(mesh.hosts.keep_fresh)
            readiness = Readiness()
            lifecycle = Lifecycle(mesh, readiness)
            reloader = Reloader(path, checked, checked_at, mesh, readiness)
            readiness.done("identity")
            readiness.done("policy")
            await background.start(lifecycle.watch_signals, reloader.reload)
            background.start_soon(reloader.watch)
            telemetry = telemetry_handler(metrics, readiness)
            admin = admin_handler(_actions(mesh, lifecycle, reloader))
            for sock, handler in (
                (sockets.telemetry, telemetry),
                (sockets.admin, admin),
            ):
                await background.start(serve_http, [stream_listener(sock)], handler)
            await lifecycle.serve(sockets.data)
            await access_log.flush(_LAST_RECORDS_SECONDS)
            background.cancel_scope.cancel()


def _actions(mesh: Mesh, lifecycle: Lifecycle, reloader: Reloader) -> AdminActions:
    return AdminActions(
        connections=lambda: live_connections(mesh),
        config=lambda: config_value(mesh.config),
        reload=reloader.reload,
        drain=lifecycle.drain,
        quit=lifecycle.stop,
    )


@contextmanager
def _place(place: str, where: object) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise BindError(f"{place}: cannot listen there, {why}, got '{where}'") from None


def _publish_bytes(mesh: Mesh) -> None:
    for connection in mesh.connections:
        publish_bytes(connection, mesh)


def _bind(config: Config, stack: ExitStack) -> _Bound:
    def bind(place: str, where: Endpoint) -> socket.socket:
        with _place(place, where):
            sock = listen.bind(where)
        stack.callback(sock.close)
        return sock

    data = tuple(
        (direction, listener, bind(f"{place}.listen", listener.listen))
        for direction, listener, place in listeners_of(config)
    )
    telemetry = bind("telemetry.listen", config.telemetry)
    if isinstance(config.admin, UnixSocket):
        with _place("admin.listen", config.admin):
            admin = stack.enter_context(bound_unix_socket(config.admin.path))
    else:
        admin = bind("admin.listen", config.admin)
    return _Bound(data, telemetry, admin)
