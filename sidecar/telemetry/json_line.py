r"""One JSON object as one line, whatever the values are.

Names in certificates and error texts come from strangers. Here they cannot forge a
second line, and cannot drive the terminal of whoever reads the log: the line is plain
ASCII without controls, the rest is written as ``\u001b``. A line never exceeds
`LINE_BYTES`, so that a pipe takes it whole or not at all.
"""

from __future__ import annotations

import json
import select
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Scalar: TypeAlias = str | int | float | bool | None

LINE_BYTES: Final = select.PIPE_BUF
"""The longest line, with its line feed; what POSIX lets a pipe take in one piece."""

_ELLIPSIS = "..."

# What the longest text may take, tried in this order when a line is too long.
_LENGTHS = (3000, 2000, 1000, 500, 200, 80)

_dumps = json.JSONEncoder(separators=(",", ":")).encode


def encode(fields: Mapping[str, Scalar]) -> bytes:
    """*fields* as one line with its line feed, at most `LINE_BYTES` long.

    When it would be longer, the longest texts lose their middle; when even that does
    not help, the last fields go.
    """
    line = _line(fields)
    if len(line) <= LINE_BYTES:
        return line
    for length in _LENGTHS:
        cut = {key: _cut(value, length) for key, value in fields.items()}
        line = _line(cut)
        if len(line) <= LINE_BYTES:
            return line
    while len(line) > LINE_BYTES:
        cut = dict(list(cut.items())[: len(cut) // 2])
        line = _line(cut)
    return line


def rfc3339(when: datetime) -> str:
    """An aware UTC time with milliseconds, as ``2026-01-02T03:04:05.678Z``."""
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _line(fields: Mapping[str, Scalar]) -> bytes:
    # json leaves DEL as it is; it can stand nowhere but inside a string.
    return (_dumps(fields).replace("\x7f", "\\u007f") + "\n").encode("ascii")


def _cut(value: Scalar, length: int) -> Scalar:
    """*value*, without its middle if it takes more than *length* bytes."""
    if not isinstance(value, str) or _size(value) <= length:
        return value
    # Both ends tell most: a trust domain and a service account, a cause and its effect.
    half = (length - len(_ELLIPSIS)) // 2
    head = value[:half]
    while (size := _size(head)) > half:
        head = head[: len(head) * half // size]
    tail = value[-half:]
    while (size := _size(tail)) > half:
        tail = tail[len(tail) - len(tail) * half // size :]
    return head + _ELLIPSIS + tail


def _size(text: str) -> int:
    return len(_dumps(text)) - 2 + 5 * text.count("\x7f")
