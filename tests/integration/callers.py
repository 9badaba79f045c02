"""Callers of a live sidecar, good and bad, and what it says of each of them."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from OpenSSL import SSL

from tests.support.deadlines import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.pki import Pair
    from tests.support.sidecars import Record, Sidecar

REQUEST = b"GET /orders HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n"
ANSWER = b'{"path": "/orders"}\n'

_SECONDS = 10

# All of 127.0.0.0/8 is ours; ports are soon used again.
_hosts = map(str, ipaddress.ip_network("127.1.0.0/16").hosts())


@contextmanager
def tcp(port: int) -> Iterator[socket.socket]:
    """Connect to a local port, from an address that no other caller has.

    Whatever is awaited on the socket has a deadline.
    """
    source = (next(_hosts), 0)
    with socket.create_connection(("127.0.0.1", port), _SECONDS, source) as sock:
        yield sock


def name_of(sock: socket.socket) -> str:
    """What a sidecar calls the peer of this socket: the source of its record."""
    host, port = sock.getsockname()
    return f"{host}:{port}"


@contextmanager
def tls(
    port: int, own: Pair | None, *, version: int | None = None
) -> Iterator[SSL.Connection]:
    """Shake hands with a local port as a caller that shows `own`; trusts anybody.

    In TLS 1.3 a refusal of our certificate comes with the first read.
    """
    with tcp(port) as sock:
        yield wrap(sock, own, version=version)


def wrap(
    sock: socket.socket, own: Pair | None, *, version: int | None = None
) -> SSL.Connection:
    """Do the handshake over a socket that is connected already."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if version is not None:
        context.set_options(SSL.OP_ALL)
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
    if own is not None:
        context.use_certificate_chain_file(str(own.certificate_chain))
        context.use_privatekey_file(str(own.private_key))
    # pyOpenSSL takes no timeouts: the kernel keeps the time.
    limit = _SECONDS.to_bytes(8, "little") + bytes(8)
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    connection = SSL.Connection(context, sock)
    connection.set_connect_state()
    connection.do_handshake()
    return connection


def ask(port: int, own: Pair | None) -> bytes:
    """Send a request over TLS and read the whole answer."""
    with tls(port, own) as connection:
        connection.sendall(REQUEST)
        return read_all(connection)


def read_all(connection: SSL.Connection) -> bytes:
    """Read until the peer's close_notify; raises SSL.Error for any other end."""
    data = b""
    while True:
        try:
            data += connection.recv(65536)
        except SSL.ZeroReturnError:
            return data


def alert_of(error: SSL.Error) -> str:
    """Name the alert that the peer sent, as OpenSSL words it."""
    return str(error.args[0][0][-1]) if error.args and error.args[0] else ""


def client_hello() -> bytes:
    """A whole ClientHello, as it goes over the wire."""
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    connection.set_connect_state()
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        return connection.bio_read(65536)
    raise AssertionError("a handshake ended before it began")


def record_of(sidecar: Sidecar, source: str, seconds: float = 10) -> Record:
    """Give the one access record of a caller, when it is there."""
    return records_of(sidecar, source, 1, seconds)[0]


def records_of(
    sidecar: Sidecar, source: str, count: int, seconds: float = 10
) -> list[Record]:
    def found() -> list[Record] | None:
        mine = [each for each in sidecar.access_records() if each["source"] == source]
        return mine if len(mine) >= count else None

    return eventually(found, f"{sidecar.name} wrote a record of {source}", seconds)
