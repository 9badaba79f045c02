"""`sidecar wait`: until the sidecar is ready, for a hook that holds the application.

In a pod without native sidecars, the kubelet starts a container only when the
`postStart` hook of the one before it has ended. It asks with plain sockets: a start is
no time to import an event loop for one request.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import h11
from attrs import frozen

if TYPE_CHECKING:
    import argparse

_PAUSE_SECONDS: Final = 0.1
_ANSWER_SECONDS: Final = 2.0
_READ_BYTES: Final = 16 * 1024
_LONGEST: Final = 64 * 1024
_OK: Final = 200


class UrlError(ValueError):
    """The text is no URL that can be asked; the message says which can."""


@frozen
class Target:
    """Where readiness is asked for."""

    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read an http URL.

        Raises:
            UrlError: It is none.
        """
        rule = "expected a URL as http://127.0.0.1:15020/readyz"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise UrlError(f"{rule}, got {url!r}") from None
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        fit = path.isascii() and path.isprintable() and " " not in path
        if parts.scheme != "http" or not parts.hostname or not fit:
            raise UrlError(f"{rule}, got {url!r}")
        return cls(parts.hostname, port or 80, path)


def main(arguments: argparse.Namespace) -> int:
    """Wait for what *arguments* name; give the exit status."""
    try:
        target = Target.parse(arguments.url)
    except UrlError as error:
        print(f"--url: {error}", file=sys.stderr)
        return 2
    if not arguments.timeout >= 0:
        got = f"got {arguments.timeout:g}"
        print(f"--timeout: expected seconds, 0 or more, {got}", file=sys.stderr)
        return 2
    why = wait(target, arguments.timeout)
    if why is None:
        return 0
    shown = " ".join(why.split())
    print(f"not ready after {arguments.timeout:g} s: {shown}", file=sys.stderr)
    return 1


def wait(target: Target, seconds: float) -> str | None:
    """Ask until the answer is 200 or the time is up; then say what it was."""
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        why = ask(target, min(max(left, _PAUSE_SECONDS), _ANSWER_SECONDS))
        if why is None or time.monotonic() + _PAUSE_SECONDS > deadline:
            return why
        time.sleep(_PAUSE_SECONDS)


def ask(target: Target, seconds: float) -> str | None:
    """Ask once; give None for a 200, else what keeps it from being one."""
    try:
        with socket.create_connection((target.host, target.port), seconds) as sock:
            sock.settimeout(seconds)
            return _answer(sock, target)
    except TimeoutError:
        return "no answer"
    except (OSError, UnicodeError) as error:
        return str(getattr(error, "strerror", None) or error).lower()
    except h11.RemoteProtocolError:
        return "the answer was no HTTP"


def _answer(sock: socket.socket, target: Target) -> str | None:
    http = h11.Connection(h11.CLIENT)
    host = f"[{target.host}]" if ":" in target.host else target.host
    headers = [("Host", f"{host}:{target.port}"), ("Connection", "close")]
    request = h11.Request(method="GET", target=target.path, headers=headers)
    sock.sendall((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
    status, body = 0, b""
    while len(body) < _LONGEST:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(sock.recv(_READ_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif not isinstance(event, h11.InformationalResponse):
            break
    if status == _OK:
        return None
    return f"status {status}: {body.decode('utf-8', 'backslashreplace').strip()}"
