"""A number of places that may change while they are taken."""

from __future__ import annotations

import trio


class Places:
    """Like `trio.Semaphore`, first come first served; but its limit can be moved.

    Below what is taken, nobody is turned out: places are given back until it fits.
    """

    __slots__ = ("_limit", "_line", "_taken")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._line = trio.lowlevel.ParkingLot()

    @property
    def value(self) -> int:
        """How many are free."""
        return max(self._limit - self._taken, 0)

    def acquire_nowait(self) -> None:
        """Take a place.

        Raises:
            trio.WouldBlock: There is none.
        """
        if self._taken >= self._limit:
            raise trio.WouldBlock
        self._taken += 1

    async def acquire(self) -> None:
        """Take a place as soon as there is one.

        Cancellation:
            None is taken.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self.acquire_nowait()
        except trio.WouldBlock:
            await self._line.park()  # the place of whoever wakes us is ours
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()

    def release(self) -> None:
        """Give a place back."""
        if self._line and self._taken <= self._limit:
            self._line.unpark()
        else:
            self._taken -= 1

    def resize(self, limit: int) -> None:
        """Have *limit* places from now on."""
        self._limit = limit
        self._taken += len(self._line.unpark(count=self.value))
