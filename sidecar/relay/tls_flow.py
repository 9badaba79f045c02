"""A flow with TLS on one side: decrypts one way, encrypts the other.

One system call takes what may be many records, OpenSSL works on memory, one system
call sends. How the ends map (RFC 8446, 6.1): close_notify becomes FIN, FIN becomes
close_notify, each direction by itself; a FIN without close_notify is a truncation
and becomes a reset, and a reset stays one. Either comes after what came before it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from OpenSSL import SSL

from sidecar.relay.buffers import CIPHER_IN, CIPHER_OUT, FULL_RECORD, PLAIN
from sidecar.relay.end import Broken
from sidecar.relay.flow import LARGE_READ, SMALL_READ, Ending, Flow
from sidecar.telemetry.labels import Outcome, Reason
from sidecar.tls.errors import HandshakeError, alert_name, classify
from sidecar.tls.openssl_binding import (
    WANT_READ,
    ZERO_RETURN,
    BIO_read,
    BIO_write,
    ERR_clear_error,
    SSL_get_error,
    SSL_read,
    SSL_shutdown,
    SSL_write,
    read_from,
    read_from_memory,
    swap_bios,
    take_error,
    waiting,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from sidecar.relay.end import End


_UNREAD_ANSWERS: Final = 16384
"""How much of what TLS itself answers may wait for a peer that does not read."""


class TlsFlow(Flow):
    """One leg speaks TLS, the other is plain."""

    __slots__ = (
        "_connection",
        "_copies",
        "_first_read",
        "_into",
        "_out",
        "_plain",
        "_ssl",
        "_tls",
    )

    def __init__(
        self,
        downstream: socket.socket,
        upstream: socket.socket,
        connection: SSL.Connection,
        *,
        tls_downstream: bool,
        first_read: Callable[[], None] | None = None,
    ) -> None:
        """Relay between the TLS of *connection* and the other leg.

        *first_read* is called once, when TLS has given something for the first time.
        """
        self._first_read = first_read
        super().__init__(downstream, upstream)
        self._copies = True
        """Whether what OpenSSL reads is copied for it, into a memory BIO."""
        self._connection = connection  # keeps the next three alive
        self._ssl, self._into, self._out = swap_bios(connection)
        self._tls = self.downstream if tls_downstream else self.upstream
        self._plain = self.upstream if tls_downstream else self.downstream

    def begin(self) -> None:
        """Go on from the end of the handshake, with what it has left over.

        What it has left to say goes out with what the plain side has said by now: a
        client's Finished and the application's first request make one packet.
        """
        ERR_clear_error()  # this is not the engine's turn
        if waiting(self._out):
            self.move(self._plain)
            if self.ending is None and self._tls.pending is None:
                self._send_tls()
                self.settle()
        if waiting(self._into) and self.ending is None:
            self._decrypt()

    def move(self, end: End) -> None:
        """Read once from *end*; decrypt or encrypt it, and send it on."""
        over_tls = end is self._tls
        size = end.receive(CIPHER_IN if over_tls else PLAIN, self.step)
        if size <= 0:
            if not size:
                self._end(end)
            return
        if not over_tls:
            if size == SMALL_READ:
                self.grow()
            self._encrypt(size)
            return
        before = end.moved
        self._feed(size)
        self._decrypt()
        if size >= SMALL_READ:
            self._pace(size, end.moved - before)

    def _pace(self, size: int, got: int) -> None:
        """Read more at once, or less, after *size* bytes that *got* were in.

        It is records that cost. A large read of very small ones, or of nothing but
        KeyUpdates, would hold up everybody else for many milliseconds.
        """
        if 2 * got > size:
            self.grow()
        elif size - got > 2 * FULL_RECORD:  # more than a record that is not all there
            self.step = SMALL_READ

    def caught_up(self, end: End) -> None:
        """Go on with what OpenSSL holds for *end*."""
        if end is self._tls:
            self._send_tls()

    # --- from TLS to plain

    def _feed(self, size: int) -> None:
        """Hand OpenSSL what was read. All of it is decrypted in the same event."""
        if size > SMALL_READ:
            self._into = read_from(self._ssl, self._out, CIPHER_IN.pointer, size)
            self._copies = False
            return
        if not self._copies:
            self._into = read_from_memory(self._ssl, self._out)
            self._copies = True
        BIO_write(self._into, CIPHER_IN.pointer, size)  # cheaper for what is small

    def _decrypt(self) -> None:
        """Decrypt all that is there, and send it."""
        ssl, into, tls, plain = self._ssl, self._into, self._tls, self._plain
        got = size = SSL_read(ssl, PLAIN.pointer, PLAIN.size)
        # To be told that there is no more would cost more than the data; but where a
        # record was full, there is more.
        while size == FULL_RECORD or (size > 0 and waiting(into)):
            size = SSL_read(ssl, PLAIN.pointer + got, PLAIN.size - got)
            got += max(size, 0)
        error = WANT_READ if size > 0 else SSL_get_error(ssl, size)
        if got > 0:
            if self._first_read is not None:
                self._first_read()
                self._first_read = None
            tls.moved += got
            plain.send(PLAIN.view[:got])
        if error != WANT_READ and not self._has_ended(error):
            return
        if waiting(self._out):
            self._answer()
        if tls.ended or plain.pending is not None:
            self.settle()

    def _has_ended(self, error: int) -> bool:
        """Take note of the peer's close_notify; False if TLS is broken instead."""
        if error != ZERO_RETURN:
            code, text = take_error()
            # After the alert user_canceled, OpenSSL 4.0 has no name for close_notify.
            if code or not self._connection.get_shutdown() & SSL.RECEIVED_SHUTDOWN:
                self._failed(code, text)
                return False
        self._tls.ended = True
        return True

    def _answer(self) -> None:
        """Send what TLS itself answers: KeyUpdate (RFC 8446, 4.6.3)."""
        if self._tls.pending is None:
            self._send_tls()
            if self._tls.pending is not None:
                self.settle()
        elif waiting(self._out) > _UNREAD_ANSWERS:
            detail = "the peer makes TLS answer and does not read the answers"
            ending = Ending(Outcome.TLS_ERROR, detail, Reason.PROTOCOL_ERROR)
            self.finish(ending, self._plain)

    # --- from plain to TLS

    def _encrypt(self, size: int) -> None:
        """Encrypt *size* bytes of the shared buffer, and send them."""
        # Into memory, which takes all: there are no partial writes.
        if SSL_write(self._ssl, PLAIN.pointer, size) != size:
            self._failed(*take_error())
            return
        self._plain.moved += size
        self._send_tls()
        if self._tls.pending is not None:
            self.settle()

    def _send_tls(self) -> None:
        """Send what OpenSSL has made, until the TLS side is behind."""
        out, pointer, room, view = (
            self._out,
            CIPHER_OUT.pointer,
            CIPHER_OUT.size,
            CIPHER_OUT.view,
        )
        size = room
        while size == room:
            size = BIO_read(out, pointer, room)
            if size <= 0 or not self._tls.send(view[:size]):
                return

    # --- ends

    def _end(self, end: End) -> None:
        """Handle the FIN of *end*."""
        if end is self._tls:
            self._truncated()
            return
        end.ended = True
        if SSL_shutdown(self._ssl) < 0:
            self._failed(*take_error())
            return
        self._send_tls()
        self.settle()

    def finish(self, ending: Ending, *reset_ends: End) -> None:
        """Close both ends; and where TLS did not fail, leave its session good.

        OpenSSL takes a connection that is freed before its close_notify for one whose
        session must not be resumed (ssl_clear_bad_session).
        """
        if self.ending is None and ending.outcome is not Outcome.TLS_ERROR:
            self._connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)
        super().finish(ending, *reset_ends)

    def _pass_on_end(self, end: End, other: End) -> bool:
        if not end.ended or other.pending is not None:
            return False
        if other is self._plain:
            other.shutdown()
        return True  # to the TLS side close_notify went out when the plain one ended

    def _truncated(self) -> None:
        """End because TCP did before TLS: no application may take that for an end."""
        if self._plain.ended and self._tls.pending is None:
            # The peer has had our close_notify, and many do not answer that: what it
            # leaves unsaid, the application has no use for any more.
            self.leave(Ending(Outcome.COMPLETED), self._plain, self._plain)
        else:
            ending = Ending(Outcome.TRUNCATED, "the peer ended without close_notify")
            self.leave(ending, self._plain, self._plain)

    def _failed(self, code: int, text: str) -> None:
        """End because TLS itself did. What it has to say of that goes out if it can."""
        # OpenSSL is silent where it cannot write before it has read the rest of a
        # message of the handshake protocol: a ticket that came by halves.
        error = classify(code, text if code else "the peer left a message unfinished")
        if self._tls.pending is None:
            with contextlib.suppress(Broken):  # the peer may have left by now
                self._send_tls()
        ending = Ending(Outcome.TLS_ERROR, str(error), error.reason)
        self.leave(ending, self._plain, self._plain)

    def reset_by(self, end: End, detail: str = "") -> None:
        """End because *end* was reset, or by the alert that came before the reset.

        A server that refuses our certificate says so after our handshake is over
        (RFC 8446, 4.4.2.4) and closes on what the application has sent already.
        """
        if end is self._plain:
            super().reset_by(end, detail)
            return
        alert = self._last_alert()
        if alert is None:
            ending = Ending(self.outcome_of_reset(end), detail)
            self.leave(ending, self._plain, self._plain, self._tls)
        else:
            ending = Ending(Outcome.TLS_ERROR, str(alert), alert.reason)
            self.finish(ending, self._plain, self._tls)

    def _last_alert(self) -> HandshakeError | None:
        """Look for an alert in what the socket still has (Linux keeps it)."""
        with contextlib.suppress(Broken):
            size = self._tls.receive(CIPHER_IN, LARGE_READ)
            if size > 0:
                self._feed(size)
        while (size := SSL_read(self._ssl, PLAIN.pointer, PLAIN.size)) > 0:
            pass  # it could not be sent any more
        if SSL_get_error(self._ssl, size) in {WANT_READ, ZERO_RETURN}:
            return None
        code, text = take_error()
        return classify(code, text) if alert_name(code) else None
