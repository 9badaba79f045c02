"""Labels that come from outside, kept few and printable.

A label value that others choose is a way to make a time series database fall over:
the first N values get a series of their own, whatever comes later shares one. Nothing
is ever forgotten, because a counter that vanishes and starts again at zero is wrong.
"""

from __future__ import annotations

from typing import Final

# Each bounds how many series one proxy can cost a Prometheus server.
PEERS: Final = 200
RULES: Final = 200
PORTS: Final = 64

OTHER = "other"
"""The label of everything past the limit."""

LABEL_LENGTH = 256
"""The longest label text; a SPIFFE ID may have 2048 bytes."""


class CappedLabels:
    """Gives each of the first *limit* texts a label, and the rest `OTHER`."""

    __slots__ = ("_labels", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._labels: dict[str, str] = {}

    def label(self, text: str) -> str:
        """The label of *text*: the same one for the same text, for ever."""
        key = text[:LABEL_LENGTH]
        known = self._labels.get(key)
        if known is not None:
            return known
        if len(self._labels) >= self._limit:
            return OTHER
        self._labels[key] = printable(key)[:LABEL_LENGTH]
        return self._labels[key]


def printable(text: str) -> str:
    r"""*text* with whatever a terminal or an encoder would trip over as ``\x1b``.

    A name in a certificate may hold control characters, and a lone surrogate would
    make the whole page of metrics impossible to encode.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
