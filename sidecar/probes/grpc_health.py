"""A gRPC probe: one `grpc.health.v1.Health/Check` over HTTP/2 without TLS.

The h2 package is imported with the first one, so that it costs nobody else anything.
A whole gRPC would cost twenty times as much memory, and this is a single call with one
field each way.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Final

import trio

from sidecar.probes.answer import UNHEALTHY, Answer, ProbeFailed
from sidecar.probes.dial import dialled
from sidecar.probes.health_message import (
    SERVING,
    MessageError,
    check_request,
    serving_status,
    status_name,
)
from sidecar.probes.kubelet import authority_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.config.app_probes import GrpcProbe

_PATH: Final = "/grpc.health.v1.Health/Check"
_UNIMPLEMENTED: Final = "12"
_READ_BYTES: Final = 16 * 1024
_ANSWER_BYTES: Final = 16 * 1024


def is_possible() -> bool:
    """Tell whether what a gRPC probe needs is installed."""
    return importlib.util.find_spec("h2") is not None


async def check(action: GrpcProbe, pod: str, agent: str) -> Answer:
    """Ask *pod*, an address, how it is.

    The caller sets the deadline.

    Raises:
        ProbeFailed: There was no answer, or none that gRPC knows.

    Cancellation:
        Nothing is left open.
    """
    from h2.exceptions import H2Error  # noqa: PLC0415 - see above

    async with dialled(pod, action.port) as stream:
        call = _Call(stream)
        try:
            await call.send(authority_of(pod, action.port), action.service, agent)
            await call.receive()
        except (H2Error, trio.BrokenResourceError) as error:
            raise ProbeFailed(f"broken answer: {str(error) or 'reset'}") from None
    return call.verdict()


class _Call:
    """The one call of a connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        from h2.config import H2Configuration  # noqa: PLC0415 - see above
        from h2.connection import H2Connection  # noqa: PLC0415

        self._stream = stream
        self._http = H2Connection(H2Configuration(header_encoding="latin-1"))
        self._headers: dict[str, str] = {}
        self._data = bytearray()
        self._over = False

    async def send(self, authority: str, service: str, agent: str) -> None:
        self._http.initiate_connection()
        headers = (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", _PATH),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", agent or "kube-probe"),
        )
        self._http.send_headers(1, headers)
        request = check_request(service)
        # A service's name may be longer than a frame, but not than a first window.
        if len(request) > self._http.local_flow_control_window(1):
            raise ProbeFailed("the service's name is too long")
        size = self._http.max_outbound_frame_size
        for start in range(0, len(request), size):
            self._http.send_data(1, request[start : start + size])
        self._http.end_stream(1)
        await self._stream.send_all(self._http.data_to_send())

    async def receive(self) -> None:
        """Read until the call is over.

        Raises:
            ProbeFailed: It ended otherwise.
        """
        while not self._over:
            data = await self._stream.receive_some(_READ_BYTES)
            if not data:
                raise ProbeFailed("broken answer: ended before it was complete")
            for event in self._http.receive_data(bytes(data)):
                self._take(event)
            waiting = self._http.data_to_send()
            if waiting:
                await self._stream.send_all(waiting)

    def _take(self, event: Any) -> None:
        from h2 import events  # noqa: PLC0415 - see above

        match event:
            case events.ResponseReceived() | events.TrailersReceived():
                self._headers.update(_pairs(event.headers))
            case events.DataReceived():
                self._data += event.data
                if len(self._data) > _ANSWER_BYTES:
                    raise ProbeFailed("broken answer: too long")
                self._http.acknowledge_received_data(event.flow_controlled_length, 1)
            case events.StreamEnded():
                self._over = True
            case events.StreamReset() | events.ConnectionTerminated():
                # Of a connection that is given up, the call may still be whole.
                if not self._over:
                    code = int(event.error_code or 0)
                    raise ProbeFailed(f"broken answer: refused, HTTP/2 error {code}")
            case _:
                pass  # settings and the like: h2 has answered them

    def verdict(self) -> Answer:
        """Judge what has come as the kubelet does."""
        if self._headers.get(":status") != "200":
            return _unhealthy(f"HTTP status {self._headers.get(':status')}")
        code = self._headers.get("grpc-status")
        if code == _UNIMPLEMENTED:
            return _unhealthy("the server does not implement grpc.health.v1.Health")
        if code != "0":
            text = self._headers.get("grpc-message", "")
            return _unhealthy(f"gRPC status {code or 'missing'} {text}".rstrip())
        try:
            status = serving_status(bytes(self._data))
        except MessageError as error:
            raise ProbeFailed(f"broken answer: {error}") from None
        if status != SERVING:
            return _unhealthy(f"responded with {status_name(status)}")
        return Answer(200, b"SERVING")


def _pairs(headers: Iterable[Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in headers}


def _unhealthy(why: str) -> Answer:
    return Answer(UNHEALTHY, f"service unhealthy: {why}".encode())
