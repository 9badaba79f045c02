from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from bench.load.herd import Herd
from bench.unmeasured import Unmeasured

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Counts the requests of each connection, in the order of their coming."""

    def __init__(self, answers: int) -> None:
        self.requests: list[int] = []
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]

    @contextmanager
    def running(self) -> Iterator[int]:
        self._threads[0].start()
        yield self._listener.getsockname()[1]
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.requests.append(0)
                number = len(self.requests) - 1
                thread = threading.Thread(target=self._serve, args=(sock, number))
                thread.start()
                self._threads.append(thread)

    def _serve(self, sock: socket.socket, number: int) -> None:
        with sock, suppress(OSError):
            while sock.recv(4096) and self.requests[number] < self._answers:
                self.requests[number] += 1
                sock.sendall(ANSWER)


def test_every_connection_asks_once_when_it_is_opened() -> None:
    server = Server(answers=100)
    with server.running() as port, Herd(port, "/", window=3) as herd:
        herd.grow(5)
        assert (len(herd), server.requests) == (5, [1] * 5)
        herd.grow(7)
        assert (len(herd), server.requests) == (7, [1] * 7)


@pytest.mark.parametrize("window", [1, 4, 50])
def test_connections_are_used_in_turn(window: int) -> None:
    server = Server(answers=100)
    with server.running() as port, Herd(port, "/", window=window) as herd:
        herd.grow(4)
        herd.visit(40)
    # A connection whose answer is late is passed over once or twice.
    assert sum(server.requests) == 44
    assert min(server.requests) >= 5


def test_a_connection_that_was_closed_is_no_figure() -> None:
    server = Server(answers=3)
    with server.running() as port, Herd(port, "/") as herd:
        herd.grow(2)
        with pytest.raises(Unmeasured, match="one of 2 connections was closed"):
            herd.visit(20)


def test_a_port_that_nobody_listens_on_is_no_figure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with Herd(port, "/") as herd, pytest.raises(Unmeasured, match="connection 1: "):
        herd.grow(1)
