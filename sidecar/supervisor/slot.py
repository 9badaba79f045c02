"""A place for a worker: one is in it, and when it ends, the next one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

import trio

from sidecar.supervisor.backoff import Backoff
from sidecar.supervisor.process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.supervisor.report import Report
    from sidecar.supervisor.sockets import SlotSockets
    from sidecar.supervisor.welcome import Inherited, Welcome

_LOG = logging.getLogger(__name__)

# A worker reports every second. The longest that one was seen to be busy with something
# else, taking up a policy of 100,000 rules, is a few seconds.
_SILENT_SECONDS: Final = 30.0


class Keeper(Protocol):
    """Whom a slot tells what happens in it."""

    def welcome(self, inherited: tuple[Inherited, ...]) -> Welcome:
        """Say what a new worker begins with."""

    def heard(self, slot: Slot, report: Report) -> None:
        """Take what the worker of *slot* said."""

    def left(self, slot: Slot) -> None:
        """Take that the worker of *slot* is gone."""

    def ended(self, slot: Slot, how: str) -> None:
        """Take that it was not asked to go, and that the next one is started."""


class Slot:
    """The place *number*, with the *sockets* that its workers inherit.

    Attributes:
        worker: The one that is there now.
        report: What it said last.
    """

    def __init__(
        self,
        number: int,
        sockets: SlotSockets,
        command: Sequence[str],
        keeper: Keeper,
        silent_seconds: float = _SILENT_SECONDS,
    ) -> None:
        """One that has served, and says nothing for *silent_seconds*, is killed."""
        self.number = number
        self.worker: WorkerProcess | None = None
        self.report: Report | None = None
        self._sockets = sockets
        self._command = command
        self._keeper = keeper
        self._silent_seconds = silent_seconds
        self._served_since: float | None = None
        self._heard_at = 0.0
        self._over = trio.Event()

    @property
    def name(self) -> str:
        """What it is called in logs and answers."""
        return f"worker {self.number}"

    @property
    def serves(self) -> bool:
        """Whether the worker that is there has ever been ready."""
        return self.worker is not None and self._served_since is not None

    def end(self) -> None:
        """Start nobody any more; one that does not serve yet is not waited for."""
        self._over.set()
        if self.worker is not None and not self.serves:
            self.worker.kill()

    async def keep(self) -> None:
        """Have a worker here until `end`, and until the last one has ended.

        Cancellation:
            The worker is killed.
        """
        backoff = Backoff()
        while not self._over.is_set():
            began = trio.current_time()
            how = await self._one_life()
            self._keeper.left(self)
            now = trio.current_time()
            served = 0.0 if self._served_since is None else now - self._served_since
            if self._over.is_set():
                break
            if self._served_since is None:
                # Not its first minute but its start went wrong. Callers are not kept
                # waiting for the next attempt: the other workers get them.
                self._sockets.close()
            pause = backoff.pause(served)
            self._keeper.ended(self, how)
            _LOG.error(
                "a worker has ended, the next one is started",
                extra={
                    "worker": self.number,
                    "how": how,
                    "after": round(now - began, 3),
                    "pause": pause,
                },
            )
            with trio.move_on_after(pause):
                await self._over.wait()
        self._sockets.close()

    async def _one_life(self) -> str:
        self._served_since = self.report = None
        try:
            self._sockets.reopen()
            inherited = self._sockets.inherited()
            worker = await WorkerProcess.start(
                self._command, [each.fd for each in inherited], self._heard
            )
        except OSError as error:
            return str(error)
        self.worker = worker
        if self._over.is_set():
            worker.kill()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_if_silent, worker)
                how = await worker.run(self._keeper.welcome(inherited))
                nursery.cancel_scope.cancel()
            return how
        finally:
            self.worker = None

    async def _end_if_silent(self, worker: WorkerProcess) -> None:
        """End one that hangs: its callers wait for nothing, and keep coming to it."""
        self._heard_at = trio.current_time()
        while True:
            heard_at = self._heard_at
            await trio.sleep(self._silent_seconds)
            if self._heard_at == heard_at and self._served_since is not None:
                _LOG.error(
                    "a worker has said nothing for too long, it is ended",
                    extra={"worker": self.number, "seconds": self._silent_seconds},
                )
                worker.kill()
                return

    def _heard(self, report: Report) -> None:
        self._heard_at = trio.current_time()
        if not report.awaited and self._served_since is None and self.worker:
            self._served_since = trio.current_time()
            extra = {"worker": self.number, "pid": self.worker.pid}
            _LOG.info("a worker is ready", extra=extra)
        if not report.accepting:
            # The worker has closed its own: nobody would accept who comes to these.
            self._sockets.close()
        self._keeper.heard(self, report)
        self.report = report
