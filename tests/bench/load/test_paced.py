from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from bench.load.paced import Generator, Pace, Report, percentile
from bench.unmeasured import Unmeasured

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PACE = Pace("/small", connections=1, rate=200, seconds=0.5)


@contextmanager
def server(
    *, stall_at: int = -1, stall_seconds: float = 0, answers: int = 1000
) -> Iterator[int]:
    """Answer one connection so often, once only after a while, and then close it."""

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            for at in range(answers):
                if not sock.recv(4096):
                    return
                if at == stall_at:
                    time.sleep(stall_seconds)
                sock.sendall(ANSWER)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
    thread.join()


def send(port: int) -> Report:
    with Generator(port, PACE) as generator:
        return generator.run()


def test_every_request_that_was_due_is_sent_and_answered() -> None:
    with server() as port:
        report = send(port)
    assert report.requests == 100
    assert 0 < report.p50 <= report.p99 <= report.p999


def test_a_stall_counts_for_all_requests_that_had_to_wait_for_it() -> None:
    with server(stall_at=20, stall_seconds=0.3) as port:
        report = send(port)
    # One request in a hundred met the stall itself; but some 60 became due in it, the
    # first of them nearly 0.3 s before it was sent.
    assert report.p50 > 20_000
    assert report.p99 > 250_000


def test_a_connection_that_is_closed_is_no_figure() -> None:
    with server(answers=10) as port, pytest.raises(Unmeasured, match="was closed"):
        send(port)


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1), (0.5, 51), (0.99, 100), (0.999, 100), (1.0, 100)]
)
def test_a_percentile_is_a_value_that_occurred(share: float, value: int) -> None:
    assert percentile(range(1, 101), share) == value
