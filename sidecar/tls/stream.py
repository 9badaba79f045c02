"""TLS as a trio stream, for HTTP: the webhook's listener and HTTPS probes.

The mesh's own connections do not pass here; they have the relay. A stream is simpler
and slower, and does what trio asks of one: it closes by halves, and one task may read
while another writes.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import trio
from OpenSSL import SSL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_READ_BYTES: Final = 64 * 1024
_SEND_BYTES: Final = 64 * 1024


class TlsStream(trio.abc.HalfCloseableStream):
    """TLS over *transport*. The handshake is done with the first use, unless before.

    Args:
        transport: Is closed with it.
        connection: One on memory BIOs, told which side it is on.
        complain: Told why the handshake failed, if it was more than a client that
            left without a word.
    """

    def __init__(
        self,
        transport: trio.abc.Stream,
        connection: SSL.Connection,
        complain: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._complain = complain
        self._heard = False
        self._transport = transport
        self._tls = connection
        self._established = False
        self._eof_sent = False
        self._closed = False
        self._shaking_hands = trio.Lock()
        self._on_the_wire = trio.Lock()
        self._busy: set[str] = set()

    async def do_handshake(self) -> None:
        """Do the handshake, if it has not been done.

        Raises:
            trio.BrokenResourceError: It failed.

        Cancellation:
            The stream is of no more use.
        """
        async with self._shaking_hands:
            self._check_open()
            while not self._established:
                try:
                    self._tls.do_handshake()
                except SSL.WantReadError:
                    await self._flush()
                    await self._feed()
                except SSL.Error as error:
                    with contextlib.suppress(trio.BrokenResourceError):
                        await self._flush()  # the alert
                    if self._heard:
                        self._complain(_reason(error))
                    raise trio.BrokenResourceError(_reason(error)) from error
                else:
                    self._established = True
                    # With a server's session tickets, at once: a client with Nagle's
                    # algorithm waits for a sign that its last words have come. Any
                    # socket takes so much, whether or not the client reads by now.
                    await self._flush()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send *data*."""
        with self._alone("send"):
            self._check_open()
            if self._eof_sent:
                raise trio.ClosedResourceError("can't send data after sending EOF")
            await self.do_handshake()
            with _openssl():
                rest = memoryview(data)
                while rest:
                    rest = rest[self._tls.send(rest[:_SEND_BYTES]) :]
            await self._flush()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until `send_all` would probably not wait."""
        with self._alone("send"):
            self._check_open()
            await self._transport.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Send close_notify; what the peer still sends can be received."""
        with self._alone("send"):
            self._check_open()
            await self.do_handshake()
            if not self._eof_sent:
                self._eof_sent = True
                with _openssl():
                    self._tls.shutdown()
            await self._flush()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive and decrypt; nothing when the peer has sent its close_notify.

        Raises:
            trio.BrokenResourceError: It ended without, so something may be missing.
        """
        if max_bytes is not None and max_bytes < 1:
            raise ValueError("max_bytes must be positive")
        with self._alone("receive"):
            self._check_open()
            await self.do_handshake()
            while True:
                try:
                    data = self._tls.recv(max_bytes or _READ_BYTES)
                except SSL.ZeroReturnError:
                    await trio.lowlevel.checkpoint()
                    return b""
                except SSL.WantReadError:
                    await self._feed()
                except SSL.Error as error:
                    with contextlib.suppress(trio.BrokenResourceError):
                        await self._flush_if_idle()  # the alert
                    raise trio.BrokenResourceError(_reason(error)) from error
                else:
                    await trio.lowlevel.checkpoint()
                    return data

    async def aclose(self) -> None:
        """Say goodbye, if the peer takes it, and close the transport."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        try:
            if self._established and not self._eof_sent:
                self._eof_sent = True
                with contextlib.suppress(trio.BrokenResourceError):
                    with _openssl():
                        self._tls.shutdown()
                    await self._flush_if_idle()
        finally:
            await self._transport.aclose()

    def _waiting(self) -> bytes:
        """Take what OpenSSL has for the peer."""
        pieces = []
        with contextlib.suppress(SSL.WantReadError):
            while True:
                pieces.append(self._tls.bio_read(_SEND_BYTES))
        return b"".join(pieces)

    async def _flush(self) -> None:
        async with self._on_the_wire:
            data = self._waiting()
            if data:
                await self._transport.send_all(data)

    async def _flush_if_idle(self) -> None:
        """Flush, but only if nobody is in the middle of a record."""
        if not self._on_the_wire.locked():
            await self._flush()

    async def _feed(self) -> None:
        data = await self._transport.receive_some(_READ_BYTES)
        if data:
            self._heard = True
            self._tls.bio_write(bytes(data))
        else:
            self._tls.bio_shutdown()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError

    @contextlib.contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        if what in self._busy:
            raise trio.BusyResourceError(f"another task is in {what}")
        self._busy.add(what)
        try:
            yield
        finally:
            self._busy.discard(what)


@contextlib.contextmanager
def _openssl() -> Iterator[None]:
    try:
        yield
    except SSL.Error as error:
        raise trio.BrokenResourceError(_reason(error)) from error


def _reason(error: SSL.Error) -> str:
    """Say what went wrong as OpenSSL words it."""
    for each in error.args:
        if isinstance(each, list) and each:
            return str(each[0][-1])
    return "the connection ended without a goodbye"


class TlsListener(trio.abc.Listener[TlsStream]):
    """Accepts TLS on *listener*; *context* gives that of each new connection.

    The handshake is left to the first use of the stream, so that a client that is slow
    to begin holds up nobody else. *complain* is told why one failed.
    """

    def __init__(
        self,
        listener: trio.abc.Listener[trio.abc.HalfCloseableStream],
        context: Callable[[], SSL.Context],
        complain: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._complain = complain
        self._listener = listener
        self._context = context

    async def accept(self) -> TlsStream:
        """Accept a connection.

        Raises:
            OSError: The listener is broken, or something is short.
        """
        transport = await self._listener.accept()
        connection = SSL.Connection(self._context(), None)
        connection.set_accept_state()
        return TlsStream(transport, connection, complain=self._complain)

    async def aclose(self) -> None:
        """Close the listener beneath."""
        await self._listener.aclose()


def client_stream(
    transport: trio.abc.Stream, context: SSL.Context, server_name: str | None
) -> TlsStream:
    """Be a client of *transport*; *server_name* is what it is asked for, if anything."""
    connection = SSL.Connection(context, None)
    if server_name is not None:
        connection.set_tlsext_host_name(server_name.encode("ascii"))
    connection.set_connect_state()
    return TlsStream(transport, connection)
