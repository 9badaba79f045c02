"""An HTTP probe: the kubelet's request, sent from inside the pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import h11
import trio

from sidecar.probes.answer import Answer, ProbeFailed
from sidecar.probes.dial import dialled
from sidecar.probes.kubelet import Ask, RedirectError, first_ask, headers_of, next_ask
from sidecar.tls.stream import client_stream
from sidecar.tls.web import unverified_client_context

if TYPE_CHECKING:
    from sidecar.config.app_probes import HttpProbe

# The kubelet's own limits: what it keeps of a body, and how often it is redirected.
_BODY_BYTES: Final = 10 * 1024
_ASKS: Final = 10

_HEADER_BYTES: Final = 64 * 1024
_READ_BYTES: Final = 16 * 1024


async def get(action: HttpProbe, pod: str, agent: str) -> Answer:
    """Perform *action* on *pod*, an address, and give what the application answers.

    The caller sets the deadline, over all redirects.

    Raises:
        ProbeFailed: There was no answer, or none that HTTP knows.

    Cancellation:
        Nothing is left open.
    """
    headers = headers_of(action, agent)
    ask = first_ask(action, pod)
    for _ in range(_ASKS):
        answer = await _answer_to(ask, headers)
        try:
            following = next_ask(ask, answer.status, answer.location)
        except RedirectError as error:
            raise ProbeFailed(str(error)) from None
        if following is None:
            return answer
        ask = following
    raise ProbeFailed(f"stopped after {_ASKS} redirects")


async def _answer_to(ask: Ask, headers: list[tuple[str, str]]) -> Answer:
    async with dialled(ask.host, ask.port) as stream:
        talk: trio.abc.Stream = stream
        if ask.https:
            talk = client_stream(stream, unverified_client_context(), ask.server_name)
        try:
            return await _Exchange(talk).ask(ask, headers)
        except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
            raise ProbeFailed(f"broken answer: {str(error) or 'reset'}") from None


class _Exchange:
    """One request, and its answer as far as the kubelet reads it."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEADER_BYTES)

    async def ask(self, ask: Ask, headers: list[tuple[str, str]]) -> Answer:
        request = h11.Request(
            method="GET",
            target=ask.target.encode("ascii"),
            headers=[
                (name.encode(), value.encode())
                for name, value in (
                    ("Host", ask.authority),
                    *headers,
                    ("Connection", "close"),
                )
            ],
        )
        data = self._http.send(request) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        await self._stream.send_all(data)
        head = await self._head()
        location = next((v for n, v in head.headers if n == b"location"), b"")
        body = await self._body()
        return Answer(head.status_code, body, location.decode("utf-8", "replace"))

    async def _head(self) -> h11.Response:
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise AssertionError(f"expected a response, got {event!r}")  # noqa: TRY004

    async def _body(self) -> bytes:
        """Read as much as the kubelet would; what is more is cut off."""
        body = bytearray()
        while len(body) < _BODY_BYTES:
            event = await self._next_event()
            if not isinstance(event, h11.Data):
                break
            body += event.data
        return bytes(body[:_BODY_BYTES])

    async def _next_event(self) -> object:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            data = await self._stream.receive_some(_READ_BYTES)
            self._http.receive_data(bytes(data))
