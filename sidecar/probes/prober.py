"""Performing the application's probes when the kubelet asks for them.

Nothing is dialled that `SIDECAR_APP_PROBES` does not name, and of each probe there is
never more than one at a time: whoever asks meanwhile hears the same answer. So it does
not matter that anybody who reaches the telemetry listener may ask.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio
from attrs import evolve

from sidecar.admin.http import HttpLimits
from sidecar.admin.messages import Request, Response, text
from sidecar.admin.routes import Route
from sidecar.admin.server import Pages
from sidecar.config.app_probes import VARIABLE, GrpcProbe, HttpProbe, TcpProbe
from sidecar.config.problems import ConfigError, Problem
from sidecar.probes import grpc_health
from sidecar.probes.answer import NO_ANSWER, TOO_SLOW, Answer, ProbeFailed
from sidecar.probes.dial import dialled
from sidecar.probes.http_get import get

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.config.app_probes import AppProbe, Handler

_LOG = logging.getLogger(__name__)

# The pod's own address, for who asks in another way than over TCP.
_LOOPBACK: Final = "127.0.0.1"

# Of one that may take longer, as a hook, few may wait: each holds a connection of a
# listener that has not many, and others have their questions, too.
_SHORT_SECONDS: Final = 60
_MOST_WAITING: Final = 8

_BODILESS: Final = frozenset({204, 205, 304})  # RFC 9110, 15
# For a request to come, and the answer to go.
_SPARE_SECONDS: Final = 2.0


class Prober:
    """Performs one probe; one at a time."""

    def __init__(self, path: str, probe: AppProbe) -> None:
        self._path = path
        self._probe = probe
        self._waiting: list[_Wait] | None = None
        self._fails = False

    async def __call__(self, request: Request) -> Response:
        """Perform it, and answer as the application has."""
        while self._waiting is not None:
            if self._is_crowded(self._waiting):
                return text("it is being asked, and enough wait for its answer", 503)
            wait = _Wait()
            self._waiting.append(wait)
            await wait.over.wait()
            if wait.response is not None:
                return wait.response
            # Who asked first was given up, and with it what was asked.
        waiting = self._waiting = []
        response = None
        try:
            response = _response(await self._perform(request))
        finally:
            self._waiting = None
            for wait in waiting:
                wait.response = response
                wait.over.set()
        return response

    def _is_crowded(self, waiting: list[_Wait]) -> bool:
        long = self._probe.timeout_seconds > _SHORT_SECONDS
        return long and len(waiting) >= _MOST_WAITING

    async def _perform(self, request: Request) -> Answer:
        seconds = self._probe.timeout_seconds
        agent = request.headers.get("user-agent", "")
        answer = Answer(TOO_SLOW, f"no answer within {seconds} s".encode())
        with trio.move_on_after(seconds):
            try:
                answer = await perform(
                    self._probe.handler, request.local or _LOOPBACK, agent
                )
            except ProbeFailed as error:
                answer = Answer(NO_ANSWER, str(error).encode())
        self._say(answer)
        return answer

    def _say(self, answer: Answer) -> None:
        """Log when it begins to fail, and when it has stopped."""
        fails = not 200 <= answer.status < 400
        if fails != self._fails:
            why = answer.body.decode("utf-8", "replace")[:200]
            extra = {"probe": self._path, "status": answer.status, "answer": why}
            _LOG.info("a probe fails" if fails else "a probe succeeds", extra=extra)
        self._fails = fails


class _Wait:
    """Somebody who asks what is being asked already."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.response: Response | None = None


async def perform(action: Handler, pod: str, agent: str) -> Answer:
    """Perform *action* on *pod*, an address, as the kubelet called *agent* would.

    The caller sets the deadline.

    Raises:
        ProbeFailed: There was no answer.

    Cancellation:
        Nothing is left open.
    """
    match action:
        case HttpProbe():
            return await get(action, pod, agent)
        case GrpcProbe():
            return await grpc_health.check(action, pod, agent)
        case TcpProbe():
            async with dialled(action.host or pod, action.port):
                return Answer(200, b"connected")


def pages_of(probes: Mapping[str, AppProbe]) -> Pages:
    """Make a page for each probe, and limits that let the slowest finish.

    Raises:
        ConfigError: What one of them needs is not installed.
    """
    if not grpc_health.is_possible():
        rule = "expected the package h2 for it, install 'sidecar[kubernetes]'"
        problems = tuple(
            Problem(path, rule, source=VARIABLE)
            for path, probe in probes.items()
            if isinstance(probe.handler, GrpcProbe)
        )
        if problems:
            raise ConfigError(VARIABLE, problems)
    limits = HttpLimits()
    slowest = max((each.timeout_seconds for each in probes.values()), default=0)
    longest = max(limits.request_seconds, slowest + _SPARE_SECONDS)
    routes = (
        Route("GET", path, Prober(path, probe), "a probe of the application")
        for path, probe in probes.items()
    )
    return Pages(tuple(routes), evolve(limits, request_seconds=longest))


def _response(answer: Answer) -> Response:
    if answer.status in _BODILESS:
        return Response(answer.status)
    response = text(answer.body.decode("utf-8", "replace"), answer.status)
    if 300 <= answer.status < 400 and answer.location:
        # To another host: the kubelet does not follow it either, and says so.
        return evolve(response, headers=(("Location", answer.location),))
    return response
