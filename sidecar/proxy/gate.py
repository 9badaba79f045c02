"""How many handshakes run at once, and who waits when there are too many.

A handshake costs memory while it waits for its peer, so their number is bounded. A
bound alone would let a few hundred peers that stall keep out everybody else until
their deadlines pass. So when others wait, a handshake that has had a second gives
up its place: an honest one needs a few milliseconds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from sidecar.telemetry.labels import Reason
from sidecar.tls.errors import HandshakeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_PATIENCE_SECONDS: Final = 1.0
# The deadline of a handshake runs while it waits. Where strangers are so many that
# their line would not be through in about this time, each gets less than a second:
# thousands that stall cannot make an honest one wait until it is too late.
_LINE_SECONDS: Final = 2.0


class HandshakeGate:
    """Lets *limit* handshakes run at once, each undisturbed for a second.

    Places go to those who wait in the order in which they came. With *strangers*,
    where anybody may knock, a long line shortens the second.
    """

    def __init__(self, limit: int, *, strangers: bool) -> None:
        self._places_seconds = _LINE_SECONDS * limit if strangers else math.inf
        self._places = trio.Semaphore(limit)
        self._running: dict[trio.CancelScope, float] = {}  # by age: the oldest first
        self._pressed = False

    async def run(self, handshake: Callable[[], Awaitable[T]]) -> T:
        """Do *handshake* when there is a place for it.

        Raises:
            HandshakeError: Its place went to another, with the reason timeout; or
                whatever the handshake raises.
        """
        await self._take_place()
        scope = trio.CancelScope()
        self._running[scope] = trio.current_time()
        self._press()
        try:
            with scope:
                return await handshake()
        finally:
            del self._running[scope]
            self._places.release()
        raise HandshakeError(
            Reason.TIMEOUT, "it stalled while others waited for its place"
        )

    async def _take_place(self) -> None:
        try:
            self._places.acquire_nowait()
        except trio.WouldBlock:
            self._press(coming=1)
            try:
                await self._places.acquire()
            except BaseException:
                self._press()
                raise

    def _press(self, coming: int = 0) -> None:
        """Give the oldest handshake a deadline, or none if nobody waits.

        When it goes, the next is the oldest: one after the other they make room.
        """
        if not self._running:
            return
        oldest, began = next(iter(self._running.items()))
        waiting = self._places.statistics().tasks_waiting + coming
        if waiting:
            share = self._places_seconds / waiting
            oldest.deadline = began + min(_PATIENCE_SECONDS, share)
        elif self._pressed:
            oldest.deadline = math.inf
        self._pressed = waiting > 0
