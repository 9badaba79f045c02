from __future__ import annotations

import argparse
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from sidecar.commands import wait
from sidecar.commands.wait import Target, UrlError
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


class Page(BaseHTTPRequestHandler):
    """Not ready as often as it is told to be."""

    protocol_version = "HTTP/1.1"
    not_ready = 0
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        type(self).asked.append(f"{self.path} of {self.headers['Host']}")
        ready = type(self).not_ready <= 0
        type(self).not_ready -= 1
        body = b"ready\n" if ready else b"identity: no such\nfile \xff\x1b\n"
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        pass


@contextmanager
def page(not_ready: int = 0, port: int = 0) -> Iterator[int]:
    Page.not_ready, Page.asked = not_ready, []
    server = HTTPServer(("127.0.0.1", port), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def waited(url: str, timeout: float = 10.0) -> int:
    return wait.main(argparse.Namespace(url=url, timeout=timeout))


def test_it_ends_well_when_the_sidecar_is_ready() -> None:
    with page() as port:
        assert waited(f"http://127.0.0.1:{port}/readyz?x=1") == 0
    assert Page.asked == [f"/readyz?x=1 of 127.0.0.1:{port}"]


def test_it_asks_until_then() -> None:
    with page(not_ready=3) as port:
        assert waited(f"http://127.0.0.1:{port}/readyz") == 0
    assert len(Page.asked) == 4


def test_it_waits_for_somebody_to_listen() -> None:
    port = free_port()
    done: list[int] = []
    thread = threading.Thread(
        target=lambda: done.append(waited(f"http://127.0.0.1:{port}/readyz"))
    )
    thread.start()
    with page(port=port):
        thread.join(10)
    assert done == [0]


def test_in_the_end_it_says_what_was_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with page(not_ready=1000) as port:
        assert waited(f"http://127.0.0.1:{port}/readyz", 0.3) == 1
    said = capsys.readouterr().err
    assert said == (
        "not ready after 0.3 s: status 503: identity: no such file \\xff\x1b\n"
    )


def test_who_is_not_there_is_said_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert waited(f"http://127.0.0.1:{free_port()}/", 0) == 1
    assert capsys.readouterr().err == "not ready after 0 s: connection refused\n"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:15020",
        "https://127.0.0.1/",
        "http://",
        "http://a:99999/",
        "http://[/",
        "http://a/b c",
        "http://a/\u00e9",
    ],
)
def test_what_is_no_url_is_bad_input(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert waited(url) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        "--url: expected a URL as http://127.0.0.1:15020/readyz, got"
    )


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_time_is_no_less_than_none(
    seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    assert waited("http://a/", seconds) == 2
    said = f"--timeout: expected seconds, 0 or more, got {seconds:g}\n"
    assert capsys.readouterr().err == said


def test_a_url_names_host_port_and_path() -> None:
    assert Target.parse("http://[::1]") == Target("::1", 80, "/")
    with pytest.raises(UrlError):
        Target.parse("ftp://a")


def test_a_server_that_says_nothing_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = Target("127.0.0.1", server.getsockname()[1], "/")
        assert wait.ask(target, 0.1) == "no answer"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_what_is_no_answer_is_not_ready(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            accepted, _ = server.accept()
            with accepted:
                accepted.recv(4096)
                accepted.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        target = Target("127.0.0.1", server.getsockname()[1], "/")
        assert wait.ask(target, 5) == "the answer was no HTTP"
        thread.join()
