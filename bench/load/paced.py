"""Open loop: requests at a fixed rate, whether or not earlier ones were answered.

Run in a process of its own: `python -m bench.load.paced PORT PATH CONNECTIONS RATE
SECONDS` prints a report as JSON. A request's time begins when it was due, not when it
was sent: if all connections are busy, it waits, and that counts. So a proxy that
stalls cannot hide what it kept waiting (coordinated omission).
"""

from __future__ import annotations

import gc
import json
import select
import socket
import sys
import time
from array import array
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

from attrs import asdict, frozen

from bench.load.answers import Answers, request
from bench.processes import output_of
from bench.unmeasured import Unmeasured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_LEAD_SECONDS: Final = 0.05
_GRACE_SECONDS: Final = 5.0
_READ_BYTES: Final = 65536


@frozen
class Pace:
    """What to do."""

    path: str
    connections: int
    rate: int
    """Requests a second."""
    seconds: float


@frozen
class Report:
    """How long requests took, in microseconds from when each was due."""

    requests: int
    p50: float
    p99: float
    p999: float
    late_p99: float
    """By how much the generator itself missed the time: what it cannot tell apart."""


def run(pace: Pace, port: int) -> Report:
    """Send requests at that pace, from a process of its own.

    Raises:
        Unmeasured: A request failed, or was not answered in the end.
    """
    arguments = [port, pace.path, pace.connections, pace.rate, pace.seconds]
    words = [sys.executable, "-m", "bench.load.paced", *map(str, arguments)]
    patience = pace.seconds + 2 * _GRACE_SECONDS
    return Report(**json.loads(output_of(words, patience)))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that *share* of *ordered* are not above."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Generator:
    """Sends the requests of one pace; a `with` block closes its connections."""

    def __init__(self, port: int, pace: Pace) -> None:
        self._pace = pace
        self._request = request(pace.path)
        self._sockets: dict[int, tuple[socket.socket, Answers]] = {}
        self._stack = ExitStack()
        self._epoll = self._stack.enter_context(select.epoll())
        for _ in range(pace.connections):
            sock = socket.create_connection(("127.0.0.1", port), timeout=10)
            self._stack.callback(sock.close)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[sock.fileno()] = sock, Answers()
            self._epoll.register(sock, select.EPOLLIN)
        self._resting = deque(self._sockets)
        self._due: deque[float] = deque()
        """When each request that waits for a connection was due."""
        self._asked: dict[int, float] = {}
        """When the request in flight on each connection was due."""
        self._took = array("d")
        self._late = array("d")

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

    def run(self) -> Report:
        """Send all of them, wait for the answers, and say how long each took.

        Raises:
            Unmeasured: A request failed, or was not answered in the end.
        """
        total = int(self._pace.rate * self._pace.seconds)
        interval = 1 / self._pace.rate
        first = time.perf_counter() + _LEAD_SECONDS
        end = first + self._pace.seconds + _GRACE_SECONDS
        released = 0
        while len(self._took) < total:
            now = time.perf_counter()
            if now > end:
                missing = total - len(self._took)
                raise Unmeasured(f"{missing} of {total} requests were not answered")
            while released < total and first + released * interval <= now:
                self._due.append(first + released * interval)
                released += 1
            self._send()
            upcoming = first + released * interval if released < total else end
            self._receive(upcoming)
        return self._report()

    def _send(self) -> None:
        while self._due and self._resting:
            fd = self._resting.popleft()
            due = self._asked[fd] = self._due.popleft()
            if not self._due:  # else it waited for a connection: not our fault
                self._late.append(time.perf_counter() - due)
            self._sockets[fd][0].sendall(self._request)

    def _receive(self, until: float) -> None:
        # epoll counts in milliseconds, select in microseconds.
        select.select([self._epoll], [], [], max(0.0, until - time.perf_counter()))
        for fd, _ in self._epoll.poll(0):
            sock, answers = self._sockets[fd]
            data = sock.recv(_READ_BYTES)
            if not data:
                raise Unmeasured("a connection was closed")
            if answers.feed(data):
                self._took.append(time.perf_counter() - self._asked.pop(fd))
                self._resting.append(fd)

    def _report(self) -> Report:
        took = sorted(seconds * 1e6 for seconds in self._took)
        late = sorted(seconds * 1e6 for seconds in self._late)
        return Report(
            len(took),
            percentile(took, 0.5),
            percentile(took, 0.99),
            percentile(took, 0.999),
            percentile(late, 0.99) if late else 0.0,
        )


def main(arguments: Sequence[str]) -> int:
    """Do what `run` asks of the process."""
    port, path, connections, rate, seconds = arguments
    pace = Pace(path, int(connections), int(rate), float(seconds))
    gc.disable()
    try:
        with Generator(int(port), pace) as generator:
            report = generator.run()
    except (Unmeasured, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(asdict(report)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
