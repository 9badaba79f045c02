"""Clients of the HTTP server, polite and otherwise, on streams in memory."""

from __future__ import annotations

import contextlib
import inspect
import logging
from typing import TYPE_CHECKING

import h11
import trio
import trio.testing
from attrs import field, frozen

from sidecar.admin.http import HttpConnection, HttpLimits
from sidecar.admin.messages import Handler, Request, Response, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

Stream = trio.abc.HalfCloseableStream
StreamPair = tuple[Stream, Stream]

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = (
    b"POST /echo?a=1&b= HTTP/1.1\r\nHost: localhost\r\nX-One: 1\r\nX-One: 2\r\n"
    b"Content-Length: 5\r\n\r\nhello"
)


def echo(request: Request) -> Response:
    return text(f"{request.method} {request.path} {request.body.decode('latin-1')}")


@frozen
class Answer:
    """A response as a client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes = field(default=b"")


def answers(raw: bytes, methods: Sequence[str] = ("GET",) * 10) -> list[Answer]:
    """All the responses in *raw*, up to the end of the connection."""
    read = []
    for method in methods:
        if not raw:
            break
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        client.send(h11.EndOfMessage())
        client.receive_data(raw)
        client.receive_data(b"")
        body = b""
        head = None
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
        assert head is not None
        names = {name.decode(): value.decode() for name, value in head.headers}
        read.append(Answer(head.status_code, names, body))
        raw = client.trailing_data[0]
    return read


async def read_all(stream: Stream) -> bytes:
    pieces = []
    with contextlib.suppress(trio.BrokenResourceError):
        async for piece in stream:
            pieces.append(bytes(piece))  # noqa: PERF401 - keeps what came before a reset
    return b"".join(pieces)


@contextlib.asynccontextmanager
async def connected(
    handler: Handler = echo,
    *,
    limits: HttpLimits = HttpLimits(),  # noqa: B008 - frozen
    crowded: Callable[[], bool] = lambda: False,
    make_pair: Callable[[], StreamPair] = trio.testing.memory_stream_pair,
) -> AsyncIterator[Stream]:
    """A client's stream to a server. At the end the server has finished by itself."""
    client, server = make_pair()
    async with trio.open_nursery() as nursery:
        connection = HttpConnection(server, handler, limits, crowded)
        nursery.start_soon(connection.run)
        yield client


async def talk(
    data: bytes,
    handler: Handler = echo,
    *,
    limits: HttpLimits = HttpLimits(),  # noqa: B008 - frozen
) -> bytes:
    """Send *data*, end the stream, and read what comes until the server closes."""
    async with connected(handler, limits=limits) as client:
        await client.send_all(data)
        await client.send_eof()
        return await read_all(client)


async def ask(handler: Handler, request: Request) -> Response:
    """What *handler* answers, whether it is async or not."""
    response = handler(request)
    return await response if inspect.isawaitable(response) else response


@contextlib.contextmanager
def complaints() -> Iterator[list[str]]:
    """What the server logs meanwhile."""
    seen: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    logger = logging.getLogger("sidecar.admin")
    handler = Keep()
    logger.addHandler(handler)
    try:
        yield seen
    finally:
        logger.removeHandler(handler)
