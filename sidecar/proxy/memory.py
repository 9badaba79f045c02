"""Giving memory back to the kernel when a crowd has left.

glibc keeps what was freed for as long as something above it is in use, and among what
a few hundred connections leave there always is: 300 that were behind left 115 MB to
a process that needs 45. A pod is charged for it, for ever.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.proxy.connection import ConnectionTable

# It takes some 15 ms, in which nothing is relayed: not often, and not for a few.
_EVERY_SECONDS: Final = 30
_CROWD: Final = 100


def trim() -> None:
    """Give the kernel back the pages that hold nothing any more.

    A C library without malloc_trim(3), as musl, does so by itself.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


async def give_back(
    connections: ConnectionTable, give: Callable[[], None] = trim
) -> None:
    """Call *give* whenever at least half of a crowd has left; until cancelled."""
    most = 0
    while True:
        await trio.sleep(_EVERY_SECONDS)
        most = max(most, connections.take_most())
        now = len(connections)
        if most - now >= max(_CROWD, now):
            give()
            most = now
