"""A flow without TLS: permissive and disabled ports, plaintext routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.relay.buffers import PLAIN
from sidecar.relay.flow import SMALL_READ, Flow

if TYPE_CHECKING:
    import socket

    from sidecar.relay.end import End


class PlainFlow(Flow):
    """Bytes as they come, both ways."""

    __slots__ = ("_first",)

    def __init__(
        self, downstream: socket.socket, upstream: socket.socket, first: bytes = b""
    ) -> None:
        """Relay, beginning with *first*, which was read from *downstream* before."""
        super().__init__(downstream, upstream)
        self._first = first

    def begin(self) -> None:
        """Send what was read before."""
        if self._first:
            self.downstream.moved = len(self._first)
            if not self.upstream.send(memoryview(self._first)):
                self.settle()
            self._first = b""

    def move(self, end: End) -> None:
        """Read once from *end* and send it on."""
        size = end.receive(PLAIN, self.step)
        if size < 0:
            return
        end.moved += size
        if size == SMALL_READ:
            self.grow()
        other = self.upstream if end is self.downstream else self.downstream
        if not size:
            end.ended = True
            self.settle()
        elif not other.send(PLAIN.view[:size]):
            self.settle()

    def caught_up(self, end: End) -> None:
        """Nothing waits beside what *end* has pending."""

    def _pass_on_end(self, end: End, other: End) -> bool:
        if not end.ended or other.pending is not None:
            return False
        other.shutdown()
        return True
