"""One HTTP/1.1 connection: bounded requests in, whole responses out.

h11 knows the protocol; this knows the limits. A client can hold a connection for as
long as its deadlines allow and make us keep as many bytes as its limits say. Whatever
it sends ends in an answer or in a closed connection.
"""

from __future__ import annotations

import inspect
import logging
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

import h11
import trio
from attrs import define, frozen

from sidecar.admin import wire
from sidecar.admin.messages import Handler, Request, Response, text
from sidecar.net.addr import plain_host

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger(__name__)

_READ_BYTES: Final = 16 * 1024

# How long, and for how much, a client that is turned away is still listened to. Closing
# while it talks would reset the connection, and the reset could overtake our answer
# (RFC 9112, 9.6).
_LINGER_SECONDS: Final = 1.0
_LINGER_READS: Final = 16


@frozen(kw_only=True)
class HttpLimits:
    """What one listener and one client may cost.

    Attributes:
        connections: At once. When all are taken, the one that has waited longest for
            its request makes room.
        header_bytes: The longest request line with headers that is waited for; one
            that comes in a single read may be as long as that.
        body_bytes: The longest request body.
        bodies_bytes: All that are held at once; who brings more is asked to come back.
        request_seconds: From the first byte of a request to the last of its response.
        idle_seconds: How long a connection may wait for a request. The scrapers that
            come every 15 seconds keep theirs.
    """

    connections: int = 64
    header_bytes: int = 16 * 1024
    body_bytes: int = 64 * 1024
    bodies_bytes: int = 4 * 1024 * 1024
    request_seconds: float = 10.0
    idle_seconds: float = 30.0


@define
class Bodies:
    """How many bytes of request bodies all connections of a listener hold."""

    held: int = 0


class HttpConnection:
    """Answers the requests that come on *stream* with *handler*.

    Args:
        crowded: Whether connections should be given up after an answer.
        bodies: What this connection holds together with others.

    Attributes:
        idle: Whether nothing of a request has come yet.
        waiting_since: When it began to wait for a request that is not complete yet;
            None while one is answered.
    """

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        handler: Handler,
        limits: HttpLimits,
        crowded: Callable[[], bool] = lambda: False,
        bodies: Bodies | None = None,
    ) -> None:
        self._bodies = bodies or Bodies()
        self._holds = 0
        self.idle = True
        self.waiting_since: float | None = trio.current_time()
        self._stream = stream
        self._handler = handler
        self._limits = limits
        self._crowded = crowded
        self._http = h11.Connection(
            h11.SERVER, max_incomplete_event_size=limits.header_bytes
        )

    async def run(self) -> None:
        """Serve until either side has had enough, and close the stream.

        This is the exception boundary of the connection: nothing but `trio.Cancelled`
        escapes, whatever the client sends and whatever the handler does.

        Cancellation:
            The stream is closed at once.
        """
        try:
            while await self._begins():
                with trio.move_on_after(self._limits.request_seconds) as deadline:
                    await self._answer_bounded()
                if deadline.cancelled_caught:
                    await self._say_too_late()
                # An answer that was cut off leaves nothing to go on from.
                if deadline.cancelled_caught or not self._start_over():
                    await self._linger()
                    break
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client is gone, which is its right
        except Exception:  # noqa: BLE001 - the boundary: a bug costs one connection
            _LOG.exception("HTTP connection failed")
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _begins(self) -> bool:
        """Wait for the first byte of a request; False if none comes."""
        self.waiting_since = trio.current_time()
        if self._http.trailing_data[0]:
            return True
        self.idle = True
        with trio.move_on_after(self._limits.idle_seconds):
            data = await self._stream.receive_some(_READ_BYTES)
            if data:
                self.idle = False
                self._http.receive_data(bytes(data))
                return True
        return False

    async def _answer_bounded(self) -> None:
        try:
            await self._answer()
        finally:
            self._bodies.held -= self._holds
            self._holds = 0

    async def _answer(self) -> None:
        try:
            request = await self._read_request()
        except h11.RemoteProtocolError as error:
            await self._send(wire.refusal(error))
            return
        self.waiting_since = None
        response = await self._handle(request)
        await self._send(response, headless=request.method == "HEAD")

    async def _read_request(self) -> Request:
        """Read a whole request.

        Raises:
            h11.RemoteProtocolError: It is malformed, or too large.
        """
        head = await self._next_event()
        if not isinstance(head, h11.Request):
            # There is at least one byte, so an early end is a protocol error.
            raise AssertionError(f"expected a request, got {head!r}")  # noqa: TRY004 - ours
        wire.check_kind(head)
        if wire.declared_length(head) > self._limits.body_bytes:
            raise _too_large()
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            await self._stream.send_all(self._http.send(go_on) or b"")
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
            if len(body) > self._limits.body_bytes:
                raise _too_large()
            self._hold(len(event.data))
        return wire.request_of(head, bytes(body), _local_address(self._stream))

    def _hold(self, size: int) -> None:
        if self._bodies.held + size > self._limits.bodies_bytes:
            raise h11.RemoteProtocolError("too many bodies", error_status_hint=503)
        self._bodies.held += size
        self._holds += size

    async def _next_event(self) -> object:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            data = await self._stream.receive_some(_READ_BYTES)
            self._http.receive_data(bytes(data))

    async def _handle(self, request: Request) -> Response:
        try:
            response = self._handler(request)
            return await response if inspect.isawaitable(response) else response
        except Exception:  # noqa: BLE001 - a bug in a handler is answered with 500
            _LOG.exception("HTTP handler failed", extra={"path": request.path})
            return text("internal error, the log has it", 500)

    async def _send(self, response: Response, *, headless: bool = False) -> None:
        # Nobody goes on after an error: what follows may not be what it seems.
        close = response.status >= 400 or self._crowded()
        events = wire.response_events(
            response, date=formatdate(usegmt=True), close=close, headless=headless
        )
        data = b"".join(self._http.send(event) or b"" for event in events)
        try:
            await self._stream.send_all(data)
        finally:
            if response.after is not None:
                response.after()

    async def _say_too_late(self) -> None:
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            slow_client = self.waiting_since is not None
            late = text("request timeout", 408) if slow_client else text("busy", 503)
            with trio.move_on_after(_LINGER_SECONDS):
                await self._send(late)

    def _start_over(self) -> bool:
        """Get ready for another request, if the connection is fit for one."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        return False

    async def _linger(self) -> None:
        """End our side, and hear the client out for a moment."""
        self.waiting_since = trio.current_time()
        with trio.move_on_after(_LINGER_SECONDS):
            await self._stream.send_eof()
            for _ in range(_LINGER_READS):
                if not await self._stream.receive_some(_READ_BYTES):
                    break


def _local_address(stream: trio.abc.Stream) -> str:
    """Give the address of ours that the client of *stream* called, if it is one."""
    if not isinstance(stream, trio.SocketStream):
        return ""
    address = stream.socket.getsockname()
    return plain_host(address[0]) if isinstance(address, tuple) else ""


def _too_large() -> h11.RemoteProtocolError:
    return h11.RemoteProtocolError("body too large", error_status_hint=413)
