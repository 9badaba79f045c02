from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from OpenSSL import SSL

from sidecar.demo.calls import Seen, call_plain, call_tls
from tests.support.pki import new_authority, write_bundle, write_svid
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
RST_ON_CLOSE = b"\x01\0\0\0\0\0\0\0"  # struct linger: on, 0 seconds


@contextmanager
def server(act: Callable[[socket.socket], object]) -> Iterator[int]:
    """Accept one connection, and do this with it."""

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            act(sock)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def reset(sock: socket.socket) -> None:
    sock.recv(65536)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)


def answers(answer: bytes) -> Callable[[socket.socket], object]:
    def act(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(answer)

    return act


@pytest.mark.parametrize(
    ("act", "seen"),
    [
        (answers(OK), Seen(answered=True, what="200 OK: hello")),
        (
            answers(OK.replace(b"200 OK", b"404 x")),
            Seen(answered=False, what="404 x: hello"),
        ),
        (answers(b""), Seen(answered=False, what="an empty answer")),
        (answers(b"\xff\xfe"), Seen(answered=False, what=": ")),
        (reset, Seen(answered=False, what="connection reset")),
    ],
)
def test_a_plain_call_says_what_came_of_it(
    act: Callable[[socket.socket], object], seen: Seen
) -> None:
    with server(act) as port:
        assert call_plain(port) == seen


def test_a_call_that_nobody_takes_says_so() -> None:
    for seen in (call_plain(free_port()), call_tls(free_port(), None)):
        assert not seen.answered
        assert "Connection refused" in seen.what


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    authority = new_authority()
    write_bundle(folder, authority)
    for name in ("api", "frontend"):
        write_svid(folder, authority, f"/ns/shop/sa/{name}")
    write_svid(folder, new_authority(), "/ns/shop/sa/stranger")
    return folder


def speaks_tls(
    folder: Path, *, version: int = SSL.TLS1_3_VERSION
) -> Callable[[socket.socket], object]:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_max_proto_version(version)
    context.use_certificate_chain_file(str(folder / "api.crt"))
    context.use_privatekey_file(str(folder / "api.key"))
    context.load_verify_locations(str(folder / "example.org.bundle.crt"))
    context.set_verify(
        SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
        lambda *found: bool(found[-1]),
    )

    def act(sock: socket.socket) -> None:
        tls = SSL.Connection(context, sock)
        tls.set_accept_state()
        try:
            tls.recv(65536)
        except SSL.Error:
            # Read what it still sends: else a reset would overtake the alert.
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
            return
        tls.sendall(OK)
        tls.shutdown()

    return act


@pytest.mark.parametrize(
    ("caller", "what"),
    [
        ("frontend", "200 OK: hello"),
        ("stranger", "alert unknown ca"),
        (None, "alert certificate required"),
    ],
)
def test_a_call_over_tls_says_what_came_of_it(
    folder: Path, caller: str | None, what: str
) -> None:
    credentials = caller and (folder / f"{caller}.crt", folder / f"{caller}.key")
    with server(speaks_tls(folder)) as port:
        seen = call_tls(port, credentials or None)
    assert (seen.what, seen.answered) == (what, caller == "frontend")


def test_a_call_to_what_speaks_no_tls_says_so() -> None:
    with server(answers(b"hello, who is there?")) as port:
        assert call_tls(port, None).what == "wrong version number"


def test_a_connection_that_breaks_is_told_from_one_that_is_closed() -> None:
    with server(reset) as port:
        assert call_tls(port, None).what == "connection reset"
    with server(answers(b"")) as port:
        assert call_tls(port, None).what in {
            "connection closed",
            "unexpected eof while reading",
        }
