"""How many handshakes run at once, and who waits when there are too many.

A handshake costs memory while it waits for its peer, so their number is bounded. A
bound alone would let a few hundred peers that stall keep out everybody else until
their deadlines pass. So when others wait, a handshake that has had a second gives
up its place: an honest one needs a few milliseconds. One of our own has longer, as
the server may have let it wait in a line like this one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import trio

from sidecar.proxy.places import Places
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
_PATIENCE_WITH_SERVERS_SECONDS: Final = 2 * _LINE_SECONDS


class _Stay(NamedTuple):
    began: float
    deadline: float
    """The handshake's own."""


class HandshakeGate:
    """Lets *limit* handshakes run at once, each undisturbed for a second, or four.

    Places go to those who wait in the order in which they came. With *strangers*,
    where anybody may knock, it is a second, and a long line shortens it.
    """

    def __init__(self, limit: int, *, strangers: bool) -> None:
        self._strangers = strangers
        self._patience_seconds = (
            _PATIENCE_SECONDS if strangers else _PATIENCE_WITH_SERVERS_SECONDS
        )
        self._places = Places(limit)
        self.resize(limit)
        self._running: dict[trio.CancelScope, _Stay] = {}  # by age: the oldest first
        self._waiting = 0
        self._pressed = False

    def resize(self, limit: int) -> None:
        """Let *limit* handshakes run at once from now on; none is stopped for it."""
        self._places_seconds = _LINE_SECONDS * limit if self._strangers else math.inf
        self._places.resize(limit)

    async def run(
        self,
        handshake: Callable[[], Awaitable[T]],
        within: trio.CancelScope | None = None,
    ) -> T:
        """Do *handshake* when there is a place for it.

        *within* spares a scope: one of the caller's, with the deadline of this
        handshake and nothing else in it. It is cancelled when the place goes to
        another, and the caller says so.

        Raises:
            HandshakeError: Its place went to another, with the reason timeout; or
                whatever the handshake raises.
        """
        await self._take_place()
        scope = within or trio.CancelScope()
        self._running[scope] = _Stay(trio.current_time(), scope.deadline)
        if self._waiting or self._pressed:
            self._press()
        try:
            if within is not None:
                return await handshake()
            with scope:
                return await handshake()
        finally:
            del self._running[scope]
            self._places.release()
        raise stalled()

    async def _take_place(self) -> None:
        try:
            self._places.acquire_nowait()
        except trio.WouldBlock:
            self._waiting += 1
            self._press()
            try:
                await self._places.acquire()
            finally:
                self._waiting -= 1
                self._press()

    def _press(self) -> None:
        """Give the oldest handshake less time, or what it had if nobody waits.

        When it goes, the next is the oldest: one after the other they make room.
        """
        if not self._running:
            return
        oldest, stay = next(iter(self._running.items()))
        if self._waiting:
            share = min(self._patience_seconds, self._places_seconds / self._waiting)
            oldest.deadline = min(stay.deadline, stay.began + share)
        elif self._pressed:
            oldest.deadline = stay.deadline
        self._pressed = self._waiting > 0


def stalled() -> HandshakeError:
    """Say that a handshake lost its place."""
    why = "it stalled while others waited for its place"
    return HandshakeError(Reason.TIMEOUT, why)
