"""A small town for the tests with real processes: two workloads and an application."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from attrs import field, frozen

from tests.support.pki import Pair, identity, new_authority, write_bundle, write_svid
from tests.support.ports import free_port
from tests.support.programs import require
from tests.support.sidecars import Sidecar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sidecar.certs.authority import Authority

API = "spiffe://example.org/ns/shop/sa/api"
FRONTEND = "spiffe://example.org/ns/shop/sa/frontend"


class _Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(b'{"path": "%s"}\n' % self.path.encode())

    def do_PUT(self) -> None:
        """Answer with the checksum of what was sent."""
        digest, left = hashlib.sha256(), int(self.headers["Content-Length"])
        while left:
            data = self.rfile.read(min(left, 1 << 20))
            digest.update(data)
            left -= len(data)
        self._answer(digest.hexdigest().encode())

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


class _CountingServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    accepted = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        self.accepted += 1
        super().process_request(request, client_address)

    def handle_error(self, *_args: object) -> None:
        """Callers that vanish are what many of these tests are about."""


@frozen
class Application:
    """The HTTP application, and how often it was reached."""

    server: _CountingServer

    @property
    def port(self) -> int:
        return self.server.server_port

    @property
    def accepted(self) -> int:
        return self.server.accepted


@contextmanager
def serving() -> Iterator[Application]:
    """Run the HTTP application."""
    server = _CountingServer(("127.0.0.1", 0), _Application)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield Application(server)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def application() -> Iterator[Application]:
    with serving() as application:
        yield application


@frozen
class Town:
    """A folder with the certificates of one trust domain, and makers of sidecars."""

    folder: Path
    authority: Authority = field(factory=new_authority)

    @property
    def bundle(self) -> Path:
        return write_bundle(self.folder, self.authority)

    def svid(self, spiffe_id: str, **options: Any) -> Pair:
        return write_svid(self.folder, self.authority, spiffe_id, **options)

    def server(
        self,
        destination: int | str,
        *,
        policy: dict[str, Any] | None = None,
        name: str = "api",
        port: int | None = None,
        env: Mapping[str, str] | None = None,
        ready: bool = True,
        **configuration: Any,
    ) -> Sidecar:
        """Make an inbound sidecar before *destination*, not started yet."""
        where = (
            f"127.0.0.1:{destination}" if isinstance(destination, int) else destination
        )
        inbound = {
            "listeners": [
                {"listen": f"127.0.0.1:{port or free_port()}", "destination": where}
            ],
            **configuration.pop("inbound", {}),
        }
        allowed = int(where.rpartition(":")[2])
        rule = {
            "name": "frontend",
            "action": "allow",
            "peers": [FRONTEND],
            "ports": [allowed],
        }
        return Sidecar(
            self.folder,
            {
                "identity": identity(self.folder, API, self.authority),
                "inbound": inbound,
                **configuration,
            },
            policy or {"default": "deny", "rules": [rule]},
            name,
            env=env,
            ready=ready,
        )

    def client(
        self,
        destination: int | str,
        *,
        peers: tuple[str, ...] = (API,),
        name: str = "frontend",
        **configuration: Any,
    ) -> Sidecar:
        """Make an outbound sidecar that leads to *destination*, not started yet."""
        where = (
            f"127.0.0.1:{destination}" if isinstance(destination, int) else destination
        )
        host, _, port = where.rpartition(":")
        route = {
            "name": "api",
            "to": [host],
            "ports": [int(port)],
            "mode": "mtls",
            "peers": list(peers),
        }
        outbound = {
            "listeners": [{"listen": f"127.0.0.1:{free_port()}", "destination": where}],
            "routes": [route],
        }
        return Sidecar(
            self.folder,
            {
                "identity": identity(self.folder, FRONTEND, self.authority),
                "outbound": outbound,
                **configuration,
            },
            name=name,
        )


def data_port(sidecar: Sidecar) -> int:
    """Give the port of a sidecar's first listener."""
    configuration = sidecar.configuration
    direction = "inbound" if "inbound" in configuration else "outbound"
    listen: str = configuration[direction]["listeners"][0]["listen"]
    return int(listen.rpartition(":")[2])


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


def curl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run curl, quiet but for errors, for at most 60 seconds."""
    return subprocess.run(
        [require("curl"), "--silent", "--show-error", "--max-time", "60", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def was_reset(answer: subprocess.CompletedProcess[str]) -> bool:
    """Tell whether curl was reset: before its own look, or while it spoke or read.

    7, 35, 55 and 56 (libcurl-errors(3)) say when; an empty answer would be 52.
    """
    return answer.returncode in {7, 35, 55, 56} and not answer.stdout


def read_to_end(sock: socket.socket) -> bytes:
    """Read until the peer ends; raises ConnectionResetError if it resets."""
    parts = []
    while data := sock.recv(65536):
        parts.append(data)
    return b"".join(parts)


@pytest.fixture
def echo() -> Iterator[int]:
    """Run a server that returns every byte and ends when its caller does."""

    def serve(sock: socket.socket) -> None:
        with sock, suppress(OSError):
            while data := sock.recv(65536):
                sock.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=accept)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
