"""Calls from one pod to another, and how they are told apart afterwards."""

from __future__ import annotations

import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.integration.callers import wrap
from tests.netns.captures import at
from tests.netns.pods import SECONDS, new_source
from tests.netns.world import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from OpenSSL import SSL

    from tests.netns.pods import Pod
    from tests.support.pki import Pair


def name_of(sock: socket.socket) -> str:
    """What a record calls the caller who has this socket."""
    return at(*sock.getsockname()[:2])


def turned_away(pod: Pod, host: str, port: int, path: str = "/") -> str:
    """Call in plain, and see it end without an answer; give the caller's name.

    A reset may come before connecting has ended.
    """
    own = pod.addresses[":" in host]
    source = host if host in {own, *LOOPBACK} else own
    with pod.within(lambda: socket.socket(family_of(host))) as sock:
        sock.settimeout(SECONDS)
        sock.bind((source, new_source()))
        name = name_of(sock)
        with suppress(ConnectionResetError, BrokenPipeError):
            sock.connect((host, port))
            sock.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
            assert sock.recv(1) == b""
    return name


@contextmanager
def tls(
    pod: Pod, host: str, port: int, own: Pair | None
) -> Iterator[tuple[str, SSL.Connection]]:
    """Call over TLS without a sidecar; give the caller's name and the connection."""
    with pod.connect(host, port) as sock:
        yield name_of(sock), wrap(sock, own)


def ask_over(connection: SSL.Connection, path: str) -> bytes:
    """Ask over HTTP, and end in order; give the beginning of the answer."""
    connection.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    answer = connection.recv(100)
    connection.shutdown()
    return answer


def family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
