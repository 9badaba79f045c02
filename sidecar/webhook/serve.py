"""The life of the webhook: bind, answer, drain."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen
from prometheus_client import CollectorRegistry

from sidecar.admin.accept import Leaving, serve, stream_listener
from sidecar.admin.http import HttpLimits
from sidecar.admin.readiness import Readiness
from sidecar.admin.routes import Route, Routes
from sidecar.admin.server import telemetry_handler
from sidecar.binding import bind
from sidecar.signals import watch_signals
from sidecar.tls.stream import TlsListener
from sidecar.webhook.admission import MISSPELT, PATH, Admission
from sidecar.webhook.current import Current
from sidecar.webhook.metrics import WebhookMetrics

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.config.model import Endpoint
    from sidecar.telemetry.log import LogHandler
    from sidecar.webhook.certificate import Files
    from sidecar.webhook.current import Loaded

_LOG = logging.getLogger(__name__)

LIMITS: Final = HttpLimits(
    # An API server has 200 pods under way at most (--max-mutating-requests-inflight), and
    # there are several; one that is let go before it asks has failed.
    connections=512,
    # An API server takes objects of 3 MiB, and sends who asks and why with them.
    body_bytes=4 * 1024 * 1024,
    # Within the memory that the webhook has, whoever sends them.
    bodies_bytes=48 * 1024 * 1024,
    # Longer than an API server keeps one idle (90 s, net/http of Go): it must not
    # send a review on a connection that we are about to close.
    idle_seconds=180.0,
)


@frozen(kw_only=True)
class Options:
    """What the command line says.

    Attributes:
        drain_seconds: How long reviews are taken after SIGTERM: those who ask learn
            of our end late.
    """

    listen: Endpoint
    telemetry: Endpoint
    files: Files
    settings_file: Path
    fail_open: bool = False
    drain_seconds: float = 5.0


async def run(options: Options, loaded: Loaded, log: LogHandler) -> None:
    """Answer reviews until told to stop, then drain.

    Raises:
        BindError: An address is in use, or not ours to bind.
    """
    metrics = WebhookMetrics(CollectorRegistry())
    readiness = Readiness(["listeners"])
    current = Current(options.files, options.settings_file, loaded, metrics, readiness)
    admission = Admission(
        lambda: current.settings, metrics, fail_open=options.fail_open
    )
    pages = Routes(
        "sidecar webhook",
        [
            Route("POST", PATH, admission, "an AdmissionReview"),
            Route("POST", MISSPELT, admission, "one of a namespace that is unclear"),
        ],
    )
    with ExitStack() as stack:
        reviews = bind("--listen", options.listen, stack)
        telemetry = bind("--telemetry", options.telemetry, stack)
        listener = TlsListener(
            stream_listener(reviews), lambda: current.context, _Complaints(metrics)
        )
        leaving = Leaving()
        stopping = _Stopping(readiness, leaving, options.drain_seconds)
        async with trio.open_nursery() as background:
            await background.start(log.run)
            await background.start(watch_signals, stopping.stop, current.reload)
            background.start_soon(current.watch)
            background.start_soon(stopping.run)
            shown = telemetry_handler(metrics, readiness)
            await background.start(serve, [stream_listener(telemetry)], shown)
            readiness.done("listeners")
            _LOG.info("ready")
            with stopping.at_once:
                await serve([listener], pages, LIMITS, leaving=leaving)
            _LOG.info("drained")
            background.cancel_scope.cancel()


class _Stopping:
    """SIGTERM: say so, take reviews for a while, then finish those that there are.

    Attributes:
        at_once: Is cancelled by a second one.
    """

    def __init__(self, readiness: Readiness, leaving: Leaving, seconds: float) -> None:
        self.at_once = trio.CancelScope()
        self._readiness = readiness
        self._leaving = leaving
        self._seconds = seconds
        self._begun = trio.Event()

    def stop(self) -> None:
        if self._begun.is_set():
            self.at_once.cancel()
        else:
            _LOG.info("draining")
        self._readiness.drain()
        self._leaving.last_answers = True
        self._begun.set()

    async def run(self) -> None:
        await self._begun.wait()
        await trio.sleep(self._seconds)
        self._leaving.accept_no_more.set()


class _Complaints:
    """Counts handshakes that fail, and logs them, but seldom."""

    _SECONDS: Final = 10.0

    def __init__(self, metrics: WebhookMetrics) -> None:
        self._metrics = metrics
        self._silent_until = 0.0

    def __call__(self, why: str) -> None:
        self._metrics.handshake_failed()
        now = trio.current_time()
        if now >= self._silent_until:
            self._silent_until = now + self._SECONDS
            _LOG.warning("a TLS handshake failed", extra={"why": why})
