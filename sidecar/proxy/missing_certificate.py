"""What an HTTP caller without a certificate reads, on ports that ask for it.

A TLS alert shows up in most HTTP clients as a broken connection. nginx and its
kin answer such a caller with a 400 instead, and so does a port with
``missing_certificate: http-400``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import trio

from sidecar.telemetry.labels import Reason
from sidecar.tls.errors import HandshakeError
from sidecar.tls.handshake import linger, send_all, send_waiting
from sidecar.tls.openssl_binding import (
    WANT_READ,
    BIO_write,
    Buffer,
    ERR_clear_error,
    SSL_get_error,
    SSL_read,
    SSL_shutdown,
    SSL_write,
    bios,
)
from sidecar.tls.peek import receive

if TYPE_CHECKING:
    import socket

    from sidecar.tls.handshake import TlsSession

_BODY: Final = (
    b"A client certificate is required: this port speaks mutual TLS,"
    b" and you showed no certificate.\n"
)
_ANSWER: Final = (
    b"HTTP/1.1 400 Bad Request\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n"
    b"Cache-Control: no-store\r\n"
    b"Connection: close\r\n\r\n%b"
) % (len(_BODY), _BODY)

_REQUEST_SECONDS: Final = 2.0
_SEND_SECONDS: Final = 1.0
_BUFFER: Final = Buffer(16384)


class NoCertificate(HandshakeError):
    """The handshake is done, and the client showed no certificate in it."""

    def __init__(self, session: TlsSession) -> None:
        super().__init__(Reason.NO_CERTIFICATE, "the peer showed no certificate")
        self.session = session


async def answer_http(client: socket.socket, session: TlsSession | None) -> None:
    """Answer with 400 and end; over the TLS of *session*, or as plaintext.

    Takes a few seconds at most, whatever the client does, and raises nothing.
    """
    with contextlib.suppress(OSError):
        if session is None:
            with trio.move_on_after(_SEND_SECONDS):
                await send_all(client, _ANSWER)
        else:
            await _answer_over_tls(client, session)
        await linger(client)


async def _answer_over_tls(client: socket.socket, session: TlsSession) -> None:
    ssl, into, out = bios(session.connection)
    # The request is awaited first, a little: some clients take an answer that comes
    # before their question for an error.
    with trio.move_on_after(_REQUEST_SECONDS):
        while not _has_data(ssl):
            data = await receive(client)
            if not data:
                return
            BIO_write(into, data, len(data))
    SSL_write(ssl, _ANSWER, len(_ANSWER))
    SSL_shutdown(ssl)
    ERR_clear_error()  # whatever became of it, the queue is every connection's
    with trio.move_on_after(_SEND_SECONDS):
        await send_waiting(client, out)


def _has_data(ssl: object) -> bool:
    """Tell whether the request has begun, or can no longer come."""
    ERR_clear_error()
    size = SSL_read(ssl, _BUFFER.pointer, _BUFFER.size)
    found = size > 0 or SSL_get_error(ssl, size) != WANT_READ
    ERR_clear_error()
    return found
