"""A relay between the two sides of a pair that notes what the server chose."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from bench.wire.server_hello import ServerHello, ServerHelloError, parse

if TYPE_CHECKING:
    from types import TracebackType

_READ_BYTES: Final = 65536


class Watcher:
    """Relays from its own port to another, as long as the `with` block lasts."""

    def __init__(self, destination: int) -> None:
        self.seen: Counter[ServerHello] = Counter()
        self._destination = destination
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        """Begin to relay."""
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, once the connections that it carries have ended."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._carry, args=(client,))
                thread.start()
                self._threads.append(thread)

    def _carry(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            server = socket.create_connection(("127.0.0.1", self._destination))
            with server:
                forward = threading.Thread(target=_copy, args=(client, server))
                forward.start()
                with suppress(OSError):
                    self._note(first := server.recv(_READ_BYTES))
                    client.sendall(first)
                    _copy(server, client)
                forward.join()

    def _note(self, first: bytes) -> None:
        # A refusal is an alert instead; the caller counts those that are answered.
        with suppress(ServerHelloError):
            self.seen[parse(first)] += 1


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_READ_BYTES):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
