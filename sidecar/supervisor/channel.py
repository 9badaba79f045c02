"""Frames over the socket between supervisor and worker."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import trio

from sidecar.supervisor.frames import Decoder, encode

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

_READ_BYTES: Final = 64 * 1024
# The other side only has to read: it is stopped, or has other troubles.
_SEND_SECONDS: Final = 2.0


class Channel:
    """One end. It owns *sock* from now on."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._one_at_a_time = trio.StrictFIFOLock()
        self._decoder = Decoder()
        self._received: deque[dict[str, Any]] = deque()

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send one frame; of several tasks, one after the other.

        Raises:
            trio.BrokenResourceError: The other side is gone, or takes nothing.
            FrameError: *message* is too long. Nothing was sent.

        Cancellation:
            A frame that is begun is brought to its end, for what comes after it.
        """
        data = encode(message)
        async with self._one_at_a_time:
            with trio.move_on_after(_SEND_SECONDS, shield=True) as deadline:
                await self._stream.send_all(data)
            if deadline.cancelled_caught:
                self.close()
                raise trio.BrokenResourceError("the other side takes nothing")

    async def receive(self) -> dict[str, Any] | None:
        """Give the next message; None once the other side is gone.

        Raises:
            FrameError: What came is not a frame.
        """
        while not self._received:
            try:
                data = await self._stream.receive_some(_READ_BYTES)
            except trio.BrokenResourceError:
                return None
            if not data:
                return None
            self._received.extend(self._decoder.feed(bytes(data)))
        return self._received.popleft()

    def close(self) -> None:
        """Close it: the other side is told."""
        self._stream.socket.close()
