"""Reading the kernel's lists of the TCP sockets of this network namespace."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecar.redirect.doctor.sockets import (
    is_listener,
    parse_connections,
    parse_listeners,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.redirect.doctor.sockets import Socket

_LISTS: Final = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
"""Without IPv6 in the kernel there is but the first."""


def read_listeners() -> list[Socket]:
    """Read who listens.

    They come first in the lists, and the kernel writes no more than is read: it costs
    the same with no connection and with ten thousand.
    """
    found: list[Socket] = []
    for path in _LISTS:
        try:
            with path.open() as lines:
                next(lines, None)  # the names of the columns
                found += parse_listeners("".join(takewhile(is_listener, lines)))
        except FileNotFoundError:
            continue
    return found


def read_connections(port: int) -> list[Socket]:
    """Read what has *port* at either end."""
    texts = list(_texts())  # a handshake under way is only there for so long
    return [each for text in texts for each in parse_connections(text, port)]


def _texts() -> Iterator[str]:
    for path in _LISTS:
        try:
            yield path.read_text()
        except FileNotFoundError:
            continue
