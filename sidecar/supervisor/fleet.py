"""All workers: what they are told, and what they say, as if they were one process."""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio
from prometheus_client import CollectorRegistry, Counter, ProcessCollector

from sidecar.supervisor.exposition import CAPS, family_of, metric_of
from sidecar.supervisor.merge import Ledger
from sidecar.supervisor.process import GoneError
from sidecar.supervisor.slot import Slot
from sidecar.supervisor.welcome import Welcome
from sidecar.telemetry import log
from sidecar.telemetry.metrics import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sidecar.admin.readiness import Readiness
    from sidecar.config.model import LogLevel
    from sidecar.supervisor.report import Report
    from sidecar.supervisor.sockets import SlotSockets
    from sidecar.supervisor.welcome import Inherited

_LOG = logging.getLogger(__name__)

# Who does not answer a scrape within this time is shown as it was.
_ANSWER_SECONDS: Final = 1.0
# What a worker gets to end in, that was told to end at once.
_AT_ONCE_SECONDS: Final = 3.0


def names(count: int) -> list[str]:
    """What the workers are called in the readiness probe's answer."""
    return [f"worker {number}" for number in range(1, count + 1)]


class Fleet:
    """The workers, one in each place that *sockets* are for."""

    def __init__(
        self,
        sockets: Sequence[SlotSockets],
        command: Sequence[str],
        readiness: Readiness,
    ) -> None:
        self._readiness = readiness
        self._slots = [
            Slot(number, each, command, self)
            for number, each in enumerate(sockets, start=1)
        ]
        self._ledger = Ledger(CAPS)
        self._generations: dict[str, int] = {}
        self._warned: frozenset[str] = frozenset()
        self._stopping = False
        self._orders: trio.Nursery | None = None
        self._own = CollectorRegistry()
        ProcessCollector(registry=self._own)
        self._restarts = Counter(
            "sidecar_worker_restarts_total",
            "Workers that ended unasked, and were replaced.",
            registry=self._own,
        )

    async def serve(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Keep a worker in every place until all are drained.

        Cancellation:
            All are killed.
        """
        async with trio.open_nursery() as orders:
            self._orders = orders
            task_status.started()
            async with trio.open_nursery() as lives:
                for slot in self._slots:
                    lives.start_soon(slot.keep)
            orders.cancel_scope.cancel()

    # What they are told

    def drain(self) -> None:
        """Have all begin to drain. Asked twice, it changes nothing."""
        self._tell_all("drain")
        self._drain()

    def stop(self) -> None:
        """Do what SIGTERM does: drain, and the second time end at once."""
        self._tell_all("stop")
        if self._stopping and self._orders is not None:
            self._orders.start_soon(self._end_at_once)
        self._stopping = True
        self._drain()

    def _drain(self) -> None:
        if not self._readiness.draining:
            _LOG.info("draining all workers")
            self._readiness.drain()
            for slot in self._slots:
                slot.end()

    async def _end_at_once(self) -> None:
        await trio.sleep(_AT_ONCE_SECONDS)
        for slot in self._slots:
            if slot.worker is not None:
                slot.worker.kill()

    def set_level(self, level: LogLevel) -> None:
        """Have all log what is at least so important."""
        log.set_level(level)
        self._tell_all("level", level=level.value)

    def _tell_all(self, order: str, **more: Any) -> None:
        for slot in self._slots:
            if slot.worker is not None and self._orders is not None:
                self._orders.start_soon(partial(slot.worker.tell, order, **more))

    async def reload(self) -> list[str]:
        """Have all read everything anew; give what is wrong, each problem once."""
        answers = await self._ask_all("reload")
        problems = [
            each for parts in answers.values() for part in parts for each in part
        ]
        return list(dict.fromkeys(map(str, problems)))

    # What they say

    async def connections(self) -> list[Mapping[str, Any]]:
        """Give the open connections of all, each with the number of its worker."""
        answers = await self._ask_all("connections")
        return [
            {"worker": number, **row}
            for number, parts in sorted(answers.items())
            for part in parts
            for row in part
        ]

    async def config(self) -> Mapping[str, Any]:
        """Give the configuration in effect, as the first that answers has it."""
        for slot in self._slots:
            if slot.worker is not None and slot.serves:
                try:
                    (value,) = await slot.worker.ask("config")
                except GoneError:
                    continue
                return dict(value)
        return {}

    async def refresh(self) -> None:
        """Get the newest counts of all that answer within a second."""
        with trio.move_on_after(_ANSWER_SECONDS):
            await self._ask_all("report", only=lambda slot: slot.serves)

    def render_parts(self) -> Iterator[bytes]:
        """Give the metrics of all as they were last heard, one at a time."""
        own = [family_of(metric) for metric in self._own.collect()]
        for family in self._ledger.total(own):
            yield text_of(metric_of(family))

    async def _ask_all(
        self, question: str, only: Callable[[Slot], bool] = lambda _: True
    ) -> dict[int, list[Any]]:
        answers: dict[int, list[Any]] = {}

        async def ask(slot: Slot) -> None:
            if slot.worker is not None:
                # The successor of one that is gone begins with what the files say.
                with contextlib.suppress(GoneError):
                    answers[slot.number] = await slot.worker.ask(question)

        async with trio.open_nursery() as nursery:
            for slot in filter(only, self._slots):
                nursery.start_soon(ask, slot)
        return answers

    # What happens in a slot

    def welcome(self, inherited: tuple[Inherited, ...]) -> Welcome:
        """Say what a new worker begins with: where the others are."""
        return Welcome(inherited, log.current_level(), dict(self._generations))

    def heard(self, slot: Slot, report: Report) -> None:
        """Take what a worker said of itself."""
        self._ledger.enter(slot.number, report.families)
        for what, generation in report.generations.items():
            known = self._generations.get(what, 1)
            self._generations[what] = max(known, generation)
        if slot.report is not None and slot.report.level is not report.level:
            log.set_level(report.level)  # a reload has changed it
        if report.awaited:
            self._readiness.failed(slot.name, ", ".join(report.awaited))
        else:
            self._readiness.done(slot.name)
        self._warn(slot, report)

    def _warn(self, slot: Slot, newest: Report) -> None:
        reports = [newest if each is slot else each.report for each in self._slots]
        warnings: dict[str, str] = {}
        for report in reports:
            if report is not None:
                warnings = {**report.warnings, **warnings}
        for about in self._warned - warnings.keys():
            self._readiness.unwarn(about)
        for about, what in warnings.items():
            self._readiness.warn(about, what)
        self._warned = frozenset(warnings)

    def left(self, slot: Slot) -> None:
        """Take that a worker is gone: what it had counted stays."""
        self._ledger.bury(slot.number)

    def ended(self, slot: Slot, how: str) -> None:
        """Take that it was not asked to go."""
        self._restarts.inc()
        self._readiness.failed(slot.name, f"ended, {how}, the next one is started")
