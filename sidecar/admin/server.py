"""What the two HTTP listeners offer.

Telemetry is for whoever can reach the pod: it only reads. Everything that changes
state, or that shows the configuration, is on the admin listener.
"""

from __future__ import annotations

import inspect
import json
import zlib
from typing import TYPE_CHECKING, Any, Final, Protocol

import trio
from attrs import field, frozen

from sidecar.admin.encoding import accepts_gzip
from sidecar.admin.guard import guarded
from sidecar.admin.http import HttpLimits
from sidecar.admin.messages import JSON, Handler, Request, Response, text
from sidecar.admin.routes import Route, Routes
from sidecar.config.model import LogLevel
from sidecar.telemetry import log
from sidecar.telemetry.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import (
        Awaitable,
        Callable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from sidecar.admin.readiness import Readiness

    Rows = Iterable[Mapping[str, Any]]

_GZIP: Final = 31
"""The window of 32 KiB, with gzip's header and trailer around (zlib.compressobj)."""

# How many connections are written down before others on the event loop have a turn.
_BATCH = 200


@frozen(kw_only=True)
class AdminActions:
    """What the admin listener can ask of the rest.

    Attributes:
        connections: The live connections, one mapping of plain values for each.
        config: The configuration in effect, without secrets.
        reload: Reads everything anew and gives back what is wrong; nothing if all is
            well. A broken file changes nothing.
        drain: Begins to drain; asked twice, it changes nothing.
        quit: Ends the process as SIGTERM does.
        set_level: Logs what is at least so important, from now on.
    """

    connections: Callable[[], Rows | Awaitable[Rows]]
    config: Callable[[], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]
    reload: Callable[[], Awaitable[Sequence[str]]]
    drain: Callable[[], None]
    quit: Callable[[], None]
    set_level: Callable[[LogLevel], None] = log.set_level


class Rendering(Protocol):
    """Something that knows the metrics."""

    def render_parts(self) -> Iterator[bytes]:
        """Give their text, piece by piece."""


@frozen
class Pages:
    """More pages for a listener, and the limits that they need of it."""

    routes: tuple[Route, ...] = ()
    limits: HttpLimits = field(factory=HttpLimits)


def telemetry_handler(
    metrics: Rendering, readiness: Readiness, more: Iterable[Route] = ()
) -> Handler:
    """Metrics and probes, and *more*. Nothing here changes anything."""

    async def show_metrics(request: Request) -> Response:
        packed = accepts_gzip(request.headers.get("accept-encoding", ""))
        packer = zlib.compressobj(level=1, wbits=_GZIP) if packed else None
        parts = []
        for part in metrics.render_parts():
            parts.append(packer.compress(part) if packer else part)
            await trio.lowlevel.checkpoint()
        if packer is None:
            return Response(200, b"".join(parts), CONTENT_TYPE)
        parts.append(packer.flush())
        encoding = (("Content-Encoding", "gzip"),)
        return Response(200, b"".join(parts), CONTENT_TYPE, encoding)

    def live(_request: Request) -> Response:
        return text("ok")

    def ready(_request: Request) -> Response:
        return text(readiness.body(), 200 if readiness.ready else 503)

    return Routes(
        "sidecar telemetry",
        (
            Route("GET", "/metrics", show_metrics, "for Prometheus"),
            Route("GET", "/livez", live, "whether the process answers"),
            Route("GET", "/readyz", ready, "whether it should get traffic"),
            *more,
        ),
    )


def admin_handler(actions: AdminActions) -> Handler:
    """What an operator may see and do from inside the pod."""
    admin = _Admin(actions)
    routes = (
        Route("GET", "/connections", admin.connections, "what is open now"),
        Route("GET", "/config", admin.config, "the configuration in effect"),
        Route("GET", "/logging", admin.logging, "the log level"),
        Route("POST", "/logging", admin.set_logging, "?level=debug sets it"),
        Route("POST", "/reload", admin.reload, "read all files again, as SIGHUP does"),
        Route("POST", "/drain", admin.drain, "take no new connections"),
        Route("POST", "/quitquitquit", admin.quit, "drain and exit, as SIGTERM does"),
    )
    return guarded(Routes("sidecar admin", routes))


@frozen
class _Admin:
    _do: AdminActions

    async def connections(self, _request: Request) -> Response:
        lines = []
        rows = self._do.connections()
        if inspect.isawaitable(rows):
            rows = await rows
        for row in rows:
            lines.append(_json(row))
            if not len(lines) % _BATCH:
                await trio.lowlevel.checkpoint()
        body = "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n"
        return Response(200, body.encode("ascii"), JSON)

    async def config(self, _request: Request) -> Response:
        config = self._do.config()
        if inspect.isawaitable(config):
            config = await config
        body = _json(config, indent=2) + "\n"
        return Response(200, body.encode("ascii"), JSON)

    def logging(self, _request: Request) -> Response:
        return text(f"level={log.current_level()}")

    def set_logging(self, request: Request) -> Response:
        asked = request.query.get("level", "")
        if asked not in list(LogLevel):
            known = ", ".join(LogLevel)
            return text(f"level: expected one of {known}", 400)
        self._do.set_level(LogLevel(asked))
        return self.logging(request)

    async def reload(self, _request: Request) -> Response:
        problems = await self._do.reload()
        if problems:
            return text("\n".join(["not reloaded:", *problems]), 422)
        return text("reloaded")

    def drain(self, _request: Request) -> Response:
        self._do.drain()
        return text("draining")

    def quit(self, _request: Request) -> Response:
        return Response(200, b"quitting\n", after=self._do.quit)


def _json(value: object, *, indent: int | None = None) -> str:
    # ASCII; DEL is the one control character that json leaves as it is.
    dumped = json.dumps(value, indent=indent, default=str)
    return dumped.replace("\x7f", "\\u007f")
