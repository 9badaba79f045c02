"""The two messages of `grpc.health.v1.Health/Check`, and their frame. No I/O.

A gRPC message is framed by a byte for compression and four for its length. The request
has one field, `string service = 1`; the response one, `ServingStatus status = 1`.
Protocol Buffers leave out a field with its default, and readers pass over those that
they do not know.
"""

from __future__ import annotations

from typing import Final

SERVING: Final = 1

# grpc/health/v1/health.proto
_NAMES: Final = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}

_FRAME: Final = 5
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES: Final = 10


class MessageError(ValueError):
    """The bytes are no response to a health check."""


def status_name(status: int) -> str:
    """Name a status as health.proto does."""
    return _NAMES.get(status, str(status))


def check_request(service: str) -> bytes:
    """Ask after *service*; an empty one is the server as a whole."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def serving_status(data: bytes) -> int:
    """Give the status in the only message of *data*.

    Raises:
        MessageError: There is not exactly one whole message, or it is malformed. No
            other exception escapes, whatever the bytes.
    """
    if len(data) < _FRAME or len(data) != _FRAME + int.from_bytes(data[1:5], "big"):
        raise MessageError("expected one message")
    if data[0]:
        raise MessageError("compressed, though nobody asked for that")
    return _status_of(data[_FRAME:])


def _status_of(message: bytes) -> int:
    status = at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _read_varint(message, at)
            if tag >> 3 == 1:
                status = value  # the last one counts
        elif kind == _LENGTH:
            length, at = _read_varint(message, at)
            at += length
        elif kind in {_FIXED64, _FIXED32}:
            at += 8 if kind == _FIXED64 else 4
        else:
            raise MessageError(f"malformed: wire type {kind}")
    if at > len(message):
        raise MessageError("cut off")
    return status


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(data[at : at + _VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, at + shift + 1
    raise MessageError("cut off")
