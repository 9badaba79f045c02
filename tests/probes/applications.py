"""Applications that say exactly what a test tells them to."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import trio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@define
class Application:
    """A server whose answers are given; one that has none left says nothing.

    Attributes:
        asked: What it has received, one entry for each connection.
        closes: Whether it closes after an answer.
    """

    port: int = 0
    answers: list[bytes] = field(factory=list)
    asked: list[bytes] = field(factory=list)
    closes: bool = True
    called: trio.Event = field(factory=trio.Event)

    async def serve(self, stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            self.asked.append(bytes(await stream.receive_some()))
            self.called.set()
            if self.answers:
                await stream.send_all(self.answers.pop(0))
                if self.closes:
                    await stream.send_eof()
            # Until whoever asked has had enough.
            async for _ in stream:
                pass


@contextlib.asynccontextmanager
async def application(
    *answers: bytes, host: str = "127.0.0.1", closes: bool = True
) -> AsyncIterator[Application]:
    """Run one, for as long as the block lasts."""
    made = Application(answers=list(answers), closes=closes)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host=host)
        made.port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, made.serve, [listener])
        yield made
        nursery.cancel_scope.cancel()
