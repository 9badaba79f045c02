"""How supervisor and worker speak: JSON objects, each behind its length. No I/O.

A worker handles what strangers send. Should one of them ever speak through it, all
that this gets them is a worker that is ended.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LARGEST: Final = 4 * 1024 * 1024
"""The longest frame. A page of metrics with every label in use is a tenth of it."""

_HEAD: Final = 4


class FrameError(ValueError):
    """What came is no frame, or not one that belongs there."""


def encode(message: Mapping[str, Any]) -> bytes:
    """*message* as a frame.

    Raises:
        FrameError: It is too long.
    """
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    if len(body) > LARGEST:
        raise FrameError(f"frame: expected at most {LARGEST} bytes, got {len(body)}")
    return len(body).to_bytes(_HEAD, "big") + body


class Decoder:
    """Takes bytes as they come and gives the messages that are complete."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Give the messages that *data* completes.

        Raises:
            FrameError: Too long, or no JSON object. Nothing can be read after it.
        """
        self._data += data
        while len(self._data) >= _HEAD:
            size = int.from_bytes(self._data[:_HEAD], "big")
            if size > LARGEST:
                raise FrameError(f"frame: expected at most {LARGEST} bytes, got {size}")
            if len(self._data) < _HEAD + size:
                return
            body = bytes(self._data[_HEAD : _HEAD + size])
            del self._data[: _HEAD + size]
            yield _message(body)


def _message(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise FrameError(f"frame: expected JSON, got {body[:40]!r}") from None
    if not isinstance(value, dict):
        raise FrameError(f"frame: expected an object, got {body[:40]!r}")
    return value
