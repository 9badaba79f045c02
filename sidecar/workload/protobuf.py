"""Messages of Protocol Buffers, as far as those of the Workload API need them.

Of the wire format (protobuf.dev/programming-guides/encoding) they use one kind of
field, bytes with a length, and a reader has to be able to pass over the others. That
is little enough to spare every pod the library and code that is generated for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT: Final = 10


class MessageError(ValueError):
    """The bytes are not such a message; the text says what is wrong with them."""


def read_fields(message: bytes) -> Mapping[int, list[bytes]]:
    """Return the fields that are bytes, text or messages, by their number.

    In the order in which they come; others are passed over, known or not.

    Raises:
        MessageError: It is cut off, or no message. No other exception escapes,
            whatever the bytes.
    """
    fields: dict[int, list[bytes]] = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if not number:
            raise MessageError("a field must have a number, got 0")
        if kind == _VARINT:
            _, at = _varint(message, at)
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise MessageError(f"expected a field of a known kind, got {kind}")
        end = at + length
        if end > len(message):
            raise MessageError(f"field {number} is cut off")
        if kind == _BYTES:
            fields.setdefault(number, []).append(message[at:end])
        at = end
    return fields


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Read a number, seven bits in a byte and the least ones first."""
    value = 0
    for count, octet in enumerate(message[at : at + _LONGEST_VARINT]):
        value |= (octet & 0x7F) << (7 * count)
        if octet < 0x80:
            return value, at + count + 1
    raise MessageError("a number is cut off, or too long")


def last(fields: Mapping[int, list[bytes]], number: int) -> bytes:
    """Return a field that should be there once: the last one, or b"" for none."""
    return fields.get(number, [b""])[-1]


def last_text(fields: Mapping[int, list[bytes]], number: int) -> str:
    """Return a field that is text.

    Raises:
        MessageError: It is not UTF-8, which text must be.
    """
    try:
        return last(fields, number).decode()
    except UnicodeDecodeError:
        raise MessageError(f"field {number} must be text, got other bytes") from None
