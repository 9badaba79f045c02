"""Reading the first bytes of a connection: is it TLS, and whose?

A permissive port has to know before it answers. This reads a ClientHello
(RFC 8446, 4.1.2) across records (5.1) far enough to learn its ALPN protocols
(RFC 7301, 3.1), and decides as early as the bytes allow: what follows the message,
such as early data, has no say.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT: Final = 16384
"""No ClientHello needs more; with post-quantum key shares they take about 2 KiB."""

_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_RECORD_LIMIT: Final = 16384  # RFC 8446, 5.1
_ALPN: Final = 16


class Undecided(Enum):
    """More bytes are needed."""

    NEED_MORE = "need more"


NEED_MORE: Final = Undecided.NEED_MORE


@frozen
class NotTls:
    """The bytes cannot be the start of a TLS connection."""


@frozen
class ClientHello:
    """A ClientHello, as far as it matters here."""

    alpn: tuple[bytes, ...]


class _Short(Exception):
    """The message ends before the field does."""


class _Malformed(Exception):
    """A length inside the message contradicts another."""


class _Fields:
    """Takes length-prefixed fields from bytes that may not all be there yet."""

    def __init__(self, data: bytes | bytearray, begin: int, end: int) -> None:
        self._data, self._at, self._end = data, begin, end

    def left(self) -> int:
        return self._end - self._at

    def take(self, size: int) -> bytes:
        if size > self.left():
            raise _Malformed
        if self._at + size > len(self._data):
            raise _Short
        self._at += size
        return bytes(self._data[self._at - size : self._at])

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        return self.take(self.number(size))


class Sniffer:
    """Decides what a connection is while its first bytes come in.

    The cost is the same whether they come at once or one by one, and in however many
    records. The first answer is the last.
    """

    def __init__(self) -> None:
        self._room = LIMIT
        self._header = b""
        self._left = 0  # of the record
        self._message = bytearray()
        self._answer: ClientHello | NotTls | Undecided = NEED_MORE

    def feed(self, data: bytes) -> ClientHello | NotTls | Undecided:
        """Take the next bytes.

        Gives `NEED_MORE` only while some continuation could still change the answer,
        and never for `LIMIT` bytes or more. Raises nothing, whatever the bytes.
        """
        if self._answer is NEED_MORE:
            self._answer = self._decide(data[: self._room])
            self._room -= len(data)
        return self._answer

    def _decide(self, data: bytes) -> ClientHello | NotTls | Undecided:
        try:
            self._take_records(data)
            return _client_hello(self._message)
        except _Short:
            return NEED_MORE if len(data) < self._room else NotTls()
        except _Malformed:
            return NotTls()

    def _take_records(self, data: bytes) -> None:
        """Take the message out of its records, and nothing that follows it."""
        at = 0
        while at < len(data) and not self._is_whole():
            if self._left:
                part = data[at : at + self._left]
                self._message += part
                self._left -= len(part)
                at += len(part)
            else:
                self._header += data[at : at + 1]
                at += 1
                self._read_header()

    def _is_whole(self) -> bool:
        size = int.from_bytes(self._message[1:4], "big")
        return len(self._message) >= 4 and len(self._message) >= 4 + size

    def _read_header(self) -> None:
        # Judged byte by byte, so that one byte of plaintext is enough to know.
        header = self._header
        if header[0] != _HANDSHAKE or header[1:2] not in {b"", b"\3"}:
            raise _Malformed
        if len(header) == 5:
            self._header, self._left = b"", int.from_bytes(header[3:], "big")
            # RFC 8446, 5.1: of a handshake there is no empty record.
            if not 0 < self._left <= _RECORD_LIMIT:
                raise _Malformed


def sniff(data: bytes) -> ClientHello | NotTls | Undecided:
    """Decide what a connection is from its first bytes, as `Sniffer.feed` does."""
    return Sniffer().feed(data)


def _client_hello(message: bytearray) -> ClientHello:
    if message and message[0] != _CLIENT_HELLO:
        raise _Malformed
    if len(message) < 4:
        raise _Short
    size = int.from_bytes(message[1:4], "big")
    if size > LIMIT:
        raise _Malformed
    fields = _Fields(message, 4, 4 + size)
    fields.take(2 + 32)  # legacy_version, random
    fields.vector(1)  # legacy_session_id
    fields.vector(2)  # cipher_suites
    fields.vector(1)  # legacy_compression_methods
    if not fields.left():
        return ClientHello(())  # no extensions: TLS 1.2 and older
    if fields.number(2) != fields.left():
        raise _Malformed
    extensions = fields.take(fields.left())
    return ClientHello(tuple(_alpn(_Fields(extensions, 0, len(extensions)))))


def _alpn(extensions: _Fields) -> Iterator[bytes]:
    while extensions.left():
        kind = extensions.number(2)
        body = extensions.vector(2)
        if kind == _ALPN:
            listed = _Fields(body, 0, len(body))
            names = listed.vector(2)
            protocols = _Fields(names, 0, len(names))
            while protocols.left():
                yield protocols.vector(1)
