"""The TLS handshake over a socket: the shell around OpenSSL's state machine."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

from sidecar.telemetry.labels import Reason
from sidecar.tls.errors import HandshakeError, classify
from sidecar.tls.openssl_binding import (
    WANT_READ,
    ZERO_RETURN,
    BIO_read,
    BIO_write,
    Buffer,
    ERR_clear_error,
    SSL_do_handshake,
    SSL_get_error,
    bios,
    resumed,
    shown_leaf,
    take_error,
    waiting,
)

if TYPE_CHECKING:
    import socket

    from OpenSSL import SSL

    from sidecar.identity.peer import Peer
    from sidecar.tls.verify import PeerCheck

# Shared by all handshakes: each step fills and empties it without awaiting.
_BUFFER: Final = Buffer(65536)

_OPENING: Final = 3  # bytes that tell other protocols from TLS

# RFC 8446, 5.1, and heartbeat of RFC 6520; the first byte of all versions is a 3.
_RECORD_TYPES: Final = range(20, 25)
_MAJOR: Final = b"\x03"

_ENDED: Final = "the peer ended in mid-handshake"

# After an alert the peer may still be sending. Closing on unread bytes would turn the
# alert into a reset before the peer has seen it (RFC 9293, 3.10.4), so read on a bit.
_LINGER_SECONDS: Final = 1.0
_LINGER_BYTES: Final = 65536


@frozen
class TlsSession:
    """An established connection: who is there, and how it is protected."""

    connection: SSL.Connection
    check: PeerCheck
    resumed: bool
    """Whether an earlier session was taken up again."""

    @property
    def peer(self) -> Peer | None:
        """Who it is; None for a client that showed no certificate, and need not."""
        return self.check.peer


def looks_like_plaintext(first: bytes) -> bool:
    """Tell another protocol from TLS, however broken, by its first bytes.

    Few protocols of a mesh are text: those of PostgreSQL, Redis, Kafka, MongoDB and
    MQTT begin with a length or a code.
    """
    if not first:
        return False
    if first[0] in _RECORD_TYPES:
        return first[1:2] not in {b"", _MAJOR}
    # A hello of SSL 2.0 is TLS of a kind (RFC 5246, appendix E.2).
    return not (first[0] & 0x80 and first[2:3] in {b"", b"\x01"})


async def handshake(
    sock: socket.socket,
    connection: SSL.Connection,
    check: PeerCheck,
    first: bytes = b"",
    *,
    hold: bool = False,
) -> TlsSession:
    """Do the handshake of *connection*; *first* was read from *sock* before.

    The caller sets the deadline. With *hold* it keeps what is to be said at the end,
    such as a client's Finished, for the caller to send at once with the first data.

    Raises:
        HandshakeError: It failed. The alert, if there is one to send, has been sent.
        OSError: The connection broke.

    Cancellation:
        The connection is of no more use.
    """
    ssl, into, out = bios(connection)
    opening = first
    if first:
        BIO_write(into, first, len(first))
    while True:
        # SSL_get_error looks into a queue that all connections share.
        ERR_clear_error()
        result = SSL_do_handshake(ssl)
        if result != 1:
            failure = _failure(ssl, result, check, opening)
            if failure is not None:
                await _alert(sock, out, failure)
                raise failure
        if result == 1:
            session = _established(connection, check)
            if not hold:
                await send_waiting(sock, out)
            return session
        await send_waiting(sock, out)
        more = await _feed(sock, into)
        opening = opening or more


def _established(connection: SSL.Connection, check: PeerCheck) -> TlsSession:
    again = resumed(connection)
    if again:
        # OpenSSL asks for no verdict where it takes up an earlier session.
        check.again(None if check.chain else shown_leaf(connection))
    if check.refusal is not None:
        raise HandshakeError(check.refusal.reason, check.refusal.detail)
    if check.required and check.peer is None:
        raise HandshakeError(Reason.NO_CERTIFICATE, "the peer was never judged")
    return TlsSession(connection, check, again)


def _failure(
    ssl: object, result: int, check: PeerCheck, opening: bytes
) -> HandshakeError | None:
    error = SSL_get_error(ssl, result)
    if error == WANT_READ:
        return None
    if error == ZERO_RETURN:  # close_notify, which is no error
        return HandshakeError(Reason.RESET, _ENDED)
    code, text = take_error()
    if check.refusal is not None:
        return HandshakeError(check.refusal.reason, check.refusal.detail)
    failure = classify(code, text)
    if failure.reason is Reason.PROTOCOL_ERROR and looks_like_plaintext(opening):
        return HandshakeError(Reason.PLAINTEXT, "the peer does not speak TLS")
    return failure


async def _alert(sock: socket.socket, out: object, failure: HandshakeError) -> None:
    failure.alerted = waiting(out) > 0
    # A peer that is gone already does not change why it was refused.
    with contextlib.suppress(OSError):
        await send_waiting(sock, out)


async def _feed(sock: socket.socket, into: object) -> bytes:
    """Hand the next bytes to OpenSSL, and give the first of them."""
    size = await _receive(sock)
    if not size:
        raise HandshakeError(Reason.RESET, _ENDED)
    BIO_write(into, _BUFFER.pointer, size)
    return bytes(_BUFFER.view[: min(size, _OPENING)])


async def _receive(sock: socket.socket) -> int:
    """Read into the shared buffer; it is the caller's until the next await."""
    while True:
        await trio.lowlevel.wait_readable(sock)
        try:
            return sock.recv_into(_BUFFER.view)
        except BlockingIOError:
            continue


async def send_waiting(sock: socket.socket, out: object) -> None:
    """Send all that OpenSSL has for the peer.

    Raises:
        OSError: The connection broke.
    """
    while waiting(out):
        size = BIO_read(out, _BUFFER.pointer, _BUFFER.size)
        await send_all(sock, bytes(_BUFFER.view[:size]))


async def send_all(sock: socket.socket, data: bytes) -> None:
    """Send *data*, waiting while the peer is slow.

    Raises:
        OSError: The connection broke.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[sock.send(rest) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)


async def linger(sock: socket.socket) -> None:
    """End our direction and read a little more, so that the peer sees our last words.

    Bounded in bytes and time; raises nothing.
    """
    with trio.move_on_after(_LINGER_SECONDS):
        try:
            sock.shutdown(1)  # SHUT_WR
            left = _LINGER_BYTES
            while left > 0:
                size = await _receive(sock)
                if not size:
                    return
                left -= size
        except OSError:
            return
