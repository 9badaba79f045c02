"""Reading the first bytes of a connection: is it TLS, and whose?

A permissive port has to know before it answers. This reads a ClientHello
(RFC 8446, 4.1.2) across records (5.1) far enough to learn its ALPN protocols
(RFC 7301, 3.1), and decides as early as the bytes allow: the answer for a message
is the answer for every longer one.
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

    def __init__(self, data: bytes, end: int) -> None:
        self._data, self._at, self._end = data, 0, end

    def left(self) -> int:
        return self._end - self._at

    def take(self, size: int) -> bytes:
        if size > self.left():
            raise _Malformed
        if self._at + size > len(self._data):
            raise _Short
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        return self.take(self.number(size))


def sniff(data: bytes) -> ClientHello | NotTls | Undecided:
    """Decide what a connection is from its first bytes.

    Gives `NEED_MORE` only while some continuation could still change the answer, and
    never for `LIMIT` bytes or more. Raises nothing, whatever the bytes.
    """
    try:
        message = b"".join(_records(data))
        return _client_hello(message)
    except _Short:
        return NEED_MORE if len(data) < LIMIT else NotTls()
    except _Malformed:
        return NotTls()


def _records(data: bytes) -> Iterator[bytes]:
    """Give the handshake bytes in the records of *data*, the last perhaps cut."""
    at = 0
    while at < len(data):
        header = data[at : at + 5]
        # Judged byte by byte, so that one byte of plaintext is enough to know.
        if header[0] != _HANDSHAKE or header[1:2] not in {b"", b"\3"}:
            raise _Malformed
        if len(header) < 5:
            return
        size = int.from_bytes(header[3:5], "big")
        if not 0 < size <= _RECORD_LIMIT:
            raise _Malformed
        yield data[at + 5 : at + 5 + size]
        at += 5 + size


def _client_hello(message: bytes) -> ClientHello:
    if message[:1] not in {b"", bytes([_CLIENT_HELLO])}:
        raise _Malformed
    if len(message) < 4:
        raise _Short
    size = int.from_bytes(message[1:4], "big")
    if size > LIMIT:
        raise _Malformed
    fields = _Fields(message[4:], size)
    fields.take(2 + 32)  # legacy_version, random
    fields.vector(1)  # legacy_session_id
    fields.vector(2)  # cipher_suites
    fields.vector(1)  # legacy_compression_methods
    if not fields.left():
        return ClientHello(())  # no extensions: TLS 1.2 and older
    extensions = fields.vector(2)
    return ClientHello(tuple(_alpn(_Fields(extensions, len(extensions)))))


def _alpn(extensions: _Fields) -> Iterator[bytes]:
    while extensions.left():
        kind = extensions.number(2)
        body = extensions.vector(2)
        if kind == _ALPN:
            listed = _Fields(body, len(body))
            names = listed.vector(2)
            protocols = _Fields(names, len(names))
            while protocols.left():
                yield protocols.vector(1)
