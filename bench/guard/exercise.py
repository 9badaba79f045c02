"""A known number of requests, megabytes and connections, one after the other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

from attrs import frozen

from bench.application import LARGE, LARGE_BYTES, SMALL
from bench.load.herd import Herd

if TYPE_CHECKING:
    from collections import Counter
    from contextlib import AbstractContextManager

REQUEST: Final = "request"
MEGABYTE: Final = "MiB"
CONNECTION: Final = "new connection"

_BATCHES: Final = 10
_REQUESTS: Final = 120
_MEGABYTES: Final = 5
_CONNECTIONS: Final = 12

# The last bytes have arrived, but the proxies may not be done with what comes after.
_SETTLE_SECONDS: Final = 0.05


@frozen
class Batch:
    """What was called while so many items were done, by name."""

    item: str
    items: int
    called: Counter[str]


class Instrument(Protocol):
    """Whatever counts."""

    def batch(self, item: str, items: int) -> AbstractContextManager[None]:
        """Count in the block, which does so many of an item."""


def exercise(port: int, instrument: Instrument) -> None:
    """Do some of each item, in batches. One at a time, so that each run is alike.

    Raises:
        Unmeasured: A request failed.
    """
    with Herd(port, SMALL, window=1) as herd:
        herd.grow(1)
        herd.visit(_REQUESTS)  # what is different the first time is not counted
        for _ in range(_BATCHES):
            time.sleep(_SETTLE_SECONDS)
            with instrument.batch(REQUEST, _REQUESTS):
                herd.visit(_REQUESTS)
                time.sleep(_SETTLE_SECONDS)
    # Not one long download: how much of that a read finds depends on how fast the
    # others are. What fits into a read and the sockets' buffers is there or is not.
    with Herd(port, LARGE, window=1) as herd:
        herd.grow(1)
        answers = _MEGABYTES * (1 << 20) // LARGE_BYTES
        herd.visit(answers)
        for _ in range(_BATCHES):
            time.sleep(_SETTLE_SECONDS)
            with instrument.batch(MEGABYTE, _MEGABYTES):
                herd.visit(answers)
                time.sleep(_SETTLE_SECONDS)
    for _ in range(_BATCHES):
        with instrument.batch(CONNECTION, _CONNECTIONS):
            for _ in range(_CONNECTIONS):
                with Herd(port, SMALL, window=1) as herd:
                    herd.grow(1)
            time.sleep(_SETTLE_SECONDS)
