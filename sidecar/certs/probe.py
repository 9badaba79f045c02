"""Showing a certificate to a TLS endpoint, and seeing what it does.

In TLS 1.3 a client is done before the server has looked at its certificate
(RFC 8446, 2): who wants to know has to read on, until an alert, an answer, or silence.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final, TypeVar

import trio
from attrs import field, frozen
from OpenSSL import SSL

from sidecar.certs.observation import End, Observation
from sidecar.net.dial import dial

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.certs.cases.world import Presented

T = TypeVar("T")

_READ_BYTES: Final = 16 * 1024
_LONGEST_ANSWER: Final = 64 * 1024
_RESETS: Final = {errno.ECONNRESET, errno.EPIPE}


class _Ended(Exception):
    """The connection is over; it carries what was seen."""

    def __init__(self, end: End, detail: str = "") -> None:
        super().__init__(end)
        self.seen = (end, detail)


@frozen(kw_only=True)
class Target:
    """Whom to ask, and how.

    Attributes:
        addresses: IP literals, tried in turn.
        port: Of all of them.
        server_name: What to ask for by SNI, if anything.
        timeout: Seconds that a connection may last altogether.
        settle: Seconds of silence after the handshake that mean "open".
        send: What to say once the handshake is done.
        expect: What the answer has to contain; any will do if it is empty.
    """

    addresses: tuple[str, ...]
    port: int
    server_name: str | None = None
    timeout: float = 10.0
    settle: float = 1.0
    send: bytes = field(default=b"", repr=False)
    expect: bytes = field(default=b"", repr=False)

    @property
    def patience(self) -> float:
        """Seconds to wait for an answer or an alert."""
        # Who asks is answered, if late; who does not cannot wait for ever.
        return self.timeout if self.send or self.expect else self.settle


async def probe(target: Target, shown: Presented) -> Observation:
    """Show *shown* to *target*, and say what it did. Raises nothing.

    Cancellation:
        Nothing is left open.
    """
    version = ""
    end, detail = End.TIMEOUT, ""
    with trio.move_on_after(target.timeout):
        try:
            sock = await dial(target.addresses, target.port)
        except OSError as error:
            return Observation(End.UNREACHABLE, (error.strerror or str(error)).lower())
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        async with stream:
            talk = _Talk(stream, _client(target, shown))
            try:
                await talk.do(talk.tls.do_handshake)
                version = talk.tls.get_protocol_version_name()
                end = End.OPEN
                await _await_answer(talk, target)
            except _Ended as ended:
                end, detail = ended.seen
    return Observation(end, detail, version)


async def _await_answer(talk: _Talk, target: Target) -> None:
    """Say what there is to say, and read.

    Raises:
        _Ended: The endpoint has answered, or ended. Otherwise it is silent.
    """
    answer = b""
    with trio.move_on_after(target.patience):
        if target.send:
            await talk.do(lambda: talk.tls.send(target.send))
        while len(answer) < _LONGEST_ANSWER:
            try:
                answer += await talk.do(lambda: talk.tls.recv(_READ_BYTES))
            except _Ended as ended:
                if answer and ended.seen[0] is End.CLOSED:
                    break
                raise
            if target.expect in answer:
                raise _Ended(End.ANSWERED)
    if answer:
        raise _Ended(End.OTHER_ANSWER)


class _Talk:
    """TLS in memory over a stream."""

    def __init__(self, stream: trio.SocketStream, tls: SSL.Connection) -> None:
        self._stream = stream
        self.tls = tls

    async def do(self, step: Callable[[], T]) -> T:
        """Do *step* of the protocol, however often it takes.

        Raises:
            _Ended: The endpoint has ended the connection, in whatever way.
        """
        while True:
            try:
                result = step()
            except SSL.WantReadError:
                await self._flush()
                await self._feed()
            except SSL.ZeroReturnError:
                raise _Ended(End.CLOSED) from None
            except SSL.Error as error:
                raise _ended(error) from None
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        try:
            while True:
                data = self.tls.bio_read(_READ_BYTES)
                await self._stream.send_all(data)
        except (SSL.WantReadError, trio.BrokenResourceError):
            # Of a broken connection we read the rest: an alert may be in it.
            return

    async def _feed(self) -> None:
        try:
            data = await self._stream.receive_some(_READ_BYTES)
        except trio.BrokenResourceError as error:
            code = getattr(error.__cause__, "errno", None)
            if code in _RESETS:
                raise _Ended(End.RESET) from None
            raise _Ended(End.FAILED, str(error.__cause__).lower()) from None
        if data:
            self.tls.bio_write(bytes(data))
        else:
            self.tls.bio_shutdown()


def _ended(error: SSL.Error) -> _Ended:
    """Turn what OpenSSL says into what happened: ``tlsv1 alert unknown ca``."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    reason = str(queue[0][-1]) if queue else ""
    _, alert, name = reason.rpartition("alert ")
    if alert:
        return _Ended(End.ALERT, name.replace(" ", "_"))
    if not reason or "unexpected eof" in reason:
        return _Ended(End.CLOSED)
    return _Ended(End.FAILED, reason)


def _client(target: Target, shown: Presented) -> SSL.Connection:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    # The server's certificate is not what is asked about.
    context.set_verify(SSL.VERIFY_NONE)
    leaf, *issuers = shown.chain
    context.use_certificate(leaf)
    for issuer in issuers:
        context.add_extra_chain_cert(issuer)
    context.use_privatekey(shown.private_key)
    connection = SSL.Connection(context, None)
    if target.server_name is not None:
        connection.set_tlsext_host_name(target.server_name.encode("idna"))
    connection.set_connect_state()
    return connection
