"""HTTP answers in a stream of bytes: no more of HTTP than the generators need."""

from __future__ import annotations

from typing import Final

from bench.unmeasured import Unmeasured

_END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_GOOD: Final = b"HTTP/1.1 200 "
_LONGEST_HEAD: Final = 65536


def request(path: str) -> bytes:
    """Return a request for *path* that leaves the connection open."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


class Answers:
    """Counts the answers that one connection brings."""

    __slots__ = ("_body_left", "_head")

    def __init__(self) -> None:
        self._head = b""
        self._body_left = 0

    def feed(self, data: bytes) -> int:
        """Take what was read, and return how many answers it completed.

        Raises:
            Unmeasured: That is no answer, or not a good one.
        """
        complete = 0
        while data:
            if not self._body_left:
                data = self._take_head(data)
                if self._head:
                    break
            taken = min(self._body_left, len(data))
            self._body_left -= taken
            data = data[taken:]
            complete += not self._body_left
        return complete

    def _take_head(self, data: bytes) -> bytes:
        """Read the head; keep it when it is not all there. Return what follows it."""
        head, end, rest = (self._head + data).partition(_END_OF_HEAD)
        if not head.startswith(_GOOD[: len(head)]) or len(head) > _LONGEST_HEAD:
            line = head.partition(b"\r\n")[0][:80]
            raise Unmeasured(f"a request failed: the answer begins {line!r}")
        if not end:
            self._head = head
            return b""
        self._head = b""
        self._body_left = _length_of_body(head)
        return rest


def _length_of_body(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(_LENGTH):
            length = line[len(_LENGTH) :].strip()
            if length.isdigit() and int(length) > 0:
                return int(length)
    raise Unmeasured("a request failed: the answer has no body of a known length")
