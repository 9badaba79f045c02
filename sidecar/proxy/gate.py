"""How many handshakes run at once, and who waits when there are too many.

A handshake costs memory while it waits for its peer, so their number is bounded. A
bound alone would let a few hundred peers that stall keep out everybody else until
their deadlines pass. So when others wait, a handshake that has had a second gives
up its place: an honest one needs a few milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import trio

from sidecar.telemetry.labels import Reason
from sidecar.tls.errors import HandshakeError

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")

_PATIENCE_SECONDS: Final = 1.0


class HandshakeGate:
    """Lets *limit* handshakes run at once, each undisturbed for a second."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running: dict[trio.CancelScope, float] = {}  # by age: the oldest first
        self._waiting = trio.lowlevel.ParkingLot()

    async def run(self, handshake: Awaitable[T]) -> T:
        """Await *handshake* when there is a place for it.

        Raises:
            HandshakeError: Its place went to another, with the reason timeout; or
                whatever the handshake raises.
        """
        while len(self._running) >= self._limit:
            await self._wait()
        scope = trio.CancelScope()
        self._running[scope] = trio.current_time()
        try:
            with scope:
                return await handshake
        finally:
            del self._running[scope]
            self._waiting.unpark()
        raise HandshakeError(
            Reason.TIMEOUT, "it stalled while others waited for its place"
        )

    async def _wait(self) -> None:
        oldest, began = next(iter(self._running.items()))
        patience = began + _PATIENCE_SECONDS - trio.current_time()
        if patience <= 0 and not oldest.cancel_called:
            oldest.cancel()
        with trio.move_on_after(max(patience, _PATIENCE_SECONDS / 20)):
            await self._waiting.park()
