"""How many connections the open files of this process leave room for."""

from __future__ import annotations

import resource
from typing import Final

_EACH: Final = 2
"""A connection has a leg on each side."""
# Scrapes and probes, files that are read again, names that are looked up, and a few
# that are open all the time.
_OTHERS: Final = 64


def room_for(connections: int, listeners: int) -> int:
    """Give as many of *connections* as there are descriptors for, but at least one.

    One more would be accepted, to be reset when its other leg cannot be dialled.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections
    return max(1, min(connections, (soft - _OTHERS - listeners) // _EACH))
