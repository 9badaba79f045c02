"""Connections that stay open, each used when its turn comes: exact counts of either.

One thread, a few requests in flight; it is not what is measured.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

from bench.load.answers import Answers, request
from bench.unmeasured import Unmeasured

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_WINDOW: Final = 32
_PATIENCE_SECONDS: Final = 20.0
_READ_BYTES: Final = 65536


class Herd:
    """HTTP connections to a port, none at first; a `with` block closes them.

    Args:
        port: Of 127.0.0.1.
        path: What each request asks for.
        window: How many requests are in flight at once.
    """

    def __init__(self, port: int, path: str, window: int = _WINDOW) -> None:
        self._port = port
        self._request = request(path)
        self._window = window
        self._members: dict[int, tuple[socket.socket, Answers]] = {}
        self._stack = ExitStack()
        self._epoll = self._stack.enter_context(select.epoll())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        self._stack.close()

    def __len__(self) -> int:
        """Return how many connections are open."""
        return len(self._members)

    def grow(self, size: int) -> None:
        """Open connections until there are *size*; each asks once and is answered.

        Raises:
            Unmeasured: One of them failed, or an earlier one has been closed.
        """

        def opened() -> Iterator[int]:
            while len(self) < size:
                yield self._open()

        self._exchange(opened(), deque())

    def visit(self, requests: int) -> None:
        """Make so many requests, on all connections in turn.

        Raises:
            Unmeasured: One of them failed, or a connection has been closed.
        """
        resting = deque(self._members)

        def chosen() -> Iterator[int]:
            for _ in range(requests):
                yield resting.popleft()

        self._exchange(chosen(), resting)

    def _open(self) -> int:
        try:
            sock = socket.create_connection(
                ("127.0.0.1", self._port), timeout=_PATIENCE_SECONDS
            )
        except OSError as error:
            raise Unmeasured(f"connection {len(self) + 1}: {error}") from error
        self._stack.callback(sock.close)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self._members[sock.fileno()] = sock, Answers()
        self._epoll.register(sock, select.EPOLLIN)
        return sock.fileno()

    def _exchange(self, supply: Iterator[int], resting: deque[int]) -> None:
        """Ask on each connection of *supply*; those that are answered are *resting*."""
        waiting = 0
        while True:
            while waiting < min(self._window, len(self) or 1):
                fd = next(supply, None)
                if fd is None:
                    break
                self._ask(fd)
                waiting += 1
            if not waiting:
                return
            events = self._epoll.poll(_PATIENCE_SECONDS)
            if not events:
                raise Unmeasured(f"no answer within {_PATIENCE_SECONDS:g} s")
            for fd, _ in events:
                answered = self._read(fd)
                waiting -= answered
                resting.extend([fd] * answered)

    def _ask(self, fd: int) -> None:
        try:
            self._members[fd][0].sendall(self._request)
        except OSError as error:
            raise Unmeasured(f"a connection of {len(self)} broke: {error}") from error

    def _read(self, fd: int) -> int:
        sock, answers = self._members[fd]
        try:
            data = sock.recv(_READ_BYTES)
        except OSError as error:
            raise Unmeasured(f"a connection of {len(self)} broke: {error}") from error
        if not data:
            raise Unmeasured(f"one of {len(self)} connections was closed")
        return answers.feed(data)
