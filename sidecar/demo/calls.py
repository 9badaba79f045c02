"""The calls of the demo, and what each caller saw."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from attrs import frozen
from OpenSSL import SSL

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS: Final = 5.0
_REQUEST: Final = (
    b"GET /orders HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
)


@frozen
class Seen:
    """What came of a call, in the caller's eyes."""

    answered: bool
    what: str


def call_plain(port: int) -> Seen:
    """Call over plain TCP, as an application calls its own sidecar."""
    try:
        with socket.create_connection(("127.0.0.1", port), _SECONDS) as sock:
            sock.sendall(_REQUEST)
            return _answer(_read_all(sock))
    except OSError as error:
        return Seen(answered=False, what=_words(error))


def call_tls(port: int, credentials: tuple[Path, Path] | None) -> Seen:
    """Call over TLS with these credentials, or with none, as any TLS client would."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if credentials is not None:
        certificate, key = credentials
        context.use_certificate_chain_file(str(certificate))
        context.use_privatekey_file(str(key))
    try:
        with socket.create_connection(("127.0.0.1", port), _SECONDS) as sock:
            # pyOpenSSL takes no timeouts: the kernel keeps the time of both.
            sock.setblocking(True)
            limit = int(_SECONDS).to_bytes(8, "little") + bytes(8)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            tls = SSL.Connection(context, sock)
            tls.set_connect_state()
            tls.do_handshake()
            tls.sendall(_REQUEST)
            return _answer(_read_all(tls))
    except (SSL.Error, OSError) as error:
        return Seen(answered=False, what=_words(error))


def _read_all(link: socket.socket | SSL.Connection) -> bytes:
    answer = b""
    while True:
        try:
            data = link.recv(65536)
        except SSL.ZeroReturnError:
            return answer
        if not data:
            return answer
        answer += data


def _answer(data: bytes) -> Seen:
    head, _, body = data.partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0].decode("ascii", "replace")
    if not status:
        return Seen(answered=False, what="an empty answer")
    what = f"{status.partition(' ')[2]}: {body.decode('utf-8', 'replace')}"
    return Seen(answered=" 200 " in status, what=what)


def _words(error: Exception) -> str:
    """Say what a caller's TLS library or kernel reports, in a few words."""
    if isinstance(error, SSL.SysCallError):
        return "connection reset" if error.args[0] > 0 else "connection closed"
    if isinstance(error, SSL.Error):
        queue = error.args[0] if error.args else []
        reason = str(queue[0][-1]) if queue else "TLS failed"
        return reason.replace("tlsv13 ", "").replace("tlsv1 ", "")
    if isinstance(error, ConnectionResetError):
        return "connection reset"
    return str(error)
