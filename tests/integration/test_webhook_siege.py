"""`sidecar webhook` and those who are no API server: others are answered all the same."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from OpenSSL import SSL

from sidecar.webhook.serve import LIMITS
from tests.support.deadlines import eventually
from tests.support.webhooks import Webhook
from tests.webhook.reviews import body

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POST = b"POST /inject HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
FOREVER = struct.pack("ll", 20, 0)


@pytest.fixture(scope="module")
def webhook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    folder: Path = tmp_path_factory.mktemp("webhook")
    with Webhook(folder, "--drain-delay", "0") as made:
        eventually(made.is_ready, "the webhook is ready")
        yield made


def dial(webhook: Webhook, stack: ExitStack, data: bytes) -> SSL.Connection:
    """Say *data* over TLS; the connection lasts as long as *stack*."""
    sock = stack.enter_context(socket.create_connection(("127.0.0.1", webhook.port)))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, FOREVER)
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), sock)
    connection.set_connect_state()
    connection.do_handshake()
    if data:
        connection.sendall(data)
    return connection


def read_to_end(connection: SSL.Connection) -> bytes:
    """Read until its end, which has to be one that TLS knows of."""
    answer = b""
    while True:
        try:
            answer += connection.recv(65536)
        except SSL.ZeroReturnError:
            return answer


def whole(length: int) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % length


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"\0" * 100, b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"505"),
        (POST + b"X: " + b"a" * 40_000, b"431"),
        (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", b"400"),
        (POST + b"Content-Length: 5000000\r\n\r\n", b"413"),
        (whole(2) + b"[]", b"400"),
        (b"GET /inject HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
    ],
)
def test_what_is_no_review_is_answered_and_left(
    webhook: Webhook, said: bytes, status: bytes
) -> None:
    with ExitStack() as stack:
        answer = read_to_end(dial(webhook, stack, said))
    assert answer.split()[1] == status


def test_clients_of_http_1_0_are_answered(webhook: Webhook) -> None:
    said = whole(len(body())).replace(b"HTTP/1.1", b"HTTP/1.0") + body()
    with ExitStack() as stack:
        connection = dial(webhook, stack, said)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("said", [b"", POST, whole(1_000_000) + b"{"])
def test_many_that_say_nothing_or_little_keep_nobody_out(
    webhook: Webhook, said: bytes
) -> None:
    with ExitStack() as stack:
        for _ in range(LIMITS.connections + 100):
            dial(webhook, stack, said)
        for _ in range(3):
            assert webhook.post(body())[0] == 200
    assert webhook.page("/readyz")[0] == 200


def test_as_many_as_an_api_server_may_have_under_way_are_all_answered(
    webhook: Webhook,
) -> None:
    """`--max-mutating-requests-inflight` is 200; each is slow to ask, none is let go."""
    with ExitStack() as stack:
        asking = [dial(webhook, stack, POST) for _ in range(200)]
        for connection in asking:
            connection.sendall(b"Content-Length: %d\r\n\r\n" % len(body()) + body())
        for connection in asking:
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_many_that_do_not_even_shake_hands_keep_nobody_out(webhook: Webhook) -> None:
    with ExitStack() as stack:
        for _ in range(LIMITS.connections + 100):
            stack.enter_context(socket.create_connection(("127.0.0.1", webhook.port)))
        assert webhook.post(body())[0] == 200
