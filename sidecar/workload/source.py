"""Asking an agent for our identity, again and again, as long as the process lives."""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Final, Protocol

import trio

from sidecar.workload.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_LOG = logging.getLogger(__name__)

_NO_IDENTITY: Final = "PERMISSION_DENIED"
_OUR_MISTAKE: Final = "INVALID_ARGUMENT"


class Watcher(Protocol):
    """Whoever is to know how the agent is."""

    def withdraw(self, why: str) -> None:
        """There is no identity for us; what was received before is not ours any more."""

    def lost(self, why: str) -> None:
        """The agent does not answer; what was received before holds as long as it can."""

    def found(self) -> None:
        """The agent answers."""


class Source:
    """Follows the agent at *address*, which may be none and may change.

    *receive* is given each message: it is all that holds from then on.
    """

    def __init__(
        self,
        receive: Callable[[bytes], Awaitable[object]],
        watcher: Watcher,
        address: str | None,
    ) -> None:
        self._receive = receive
        self._watcher = watcher
        self._address = address
        self._moved = trio.Event()
        self._random = random.Random()  # noqa: S311 - spreads load, keeps no secret

    def follow(self, address: str | None) -> None:
        """Ask at *address* from now on; None for nowhere."""
        if address != self._address:
            self._address = address
            self._moved.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            self._moved = trio.Event()
            async with trio.open_nursery() as nursery:
                if self._address is not None:
                    nursery.start_soon(self._ask, self._address)
                await self._moved.wait()
                nursery.cancel_scope.cancel()

    async def _ask(self, address: str) -> None:
        from sidecar.workload.stream import listen  # noqa: PLC0415 - see there

        backoff = Backoff(self._random.random)

        async def take(message: bytes) -> None:
            backoff.reset()
            self._watcher.found()
            await self._receive(message)

        while True:
            ended = await listen(address, take)
            why = f"{address}: {ended}"
            if ended.code == _OUR_MISTAKE:
                # SPIFFE Workload Endpoint 6: to ask again would not make it better.
                why = f"{why} (it is not asked again before the next start)"
                self._watcher.lost(why)
                _LOG.error("the Workload API does not take our request: %s", why)
                return
            if ended.code == _NO_IDENTITY:
                self._watcher.withdraw(why)
            else:
                self._watcher.lost(why)
            pause = backoff.pause()
            _LOG.warning(
                "no identity from the Workload API: %s",
                why,
                extra={"again_in_seconds": round(pause, 1)},
            )
            await trio.sleep(pause)
