"""Lines on their way out, through a queue that is bounded.

A log must never hold up traffic. Whoever writes a line only appends it; a task of its
own carries the lines on, as fast as their reader takes them. When the reader is slower
than that for long, lines are lost, and counted.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING

import trio

from sidecar.telemetry.json_line import LINE_BYTES
from sidecar.telemetry.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable

# What a stalled reader can cost in memory: about a minute of a busy proxy's lines.
_QUEUE_LINES = 10_000
_QUEUE_BYTES = 4 * 1024 * 1024

# How many batches go out before others on the event loop get their turn.
_BATCHES = 16


class LineWriter:
    """Carries lines to *fd*.

    Args:
        fd: Where to; shared with others, and left as it is.
        dropped: Called with the number of lines that were lost.
        linger: How many seconds a first line waits for others to join it. One wake of
            the task then serves many lines.
    """

    def __init__(
        self, fd: int, dropped: Callable[[int], None], *, linger: float = 0.0
    ) -> None:
        self._fd = fd
        self._dropped = dropped
        self._linger = linger
        self._lines: deque[bytes] = deque()
        self._queued_bytes = 0
        self._unsent = b""
        self._ended = False
        self._idle = False
        self._parked = trio.lowlevel.ParkingLot()
        self._waiting = trio.lowlevel.ParkingLot()

    def put(self, line: bytes) -> None:
        """Queue one whole line of at most `LINE_BYTES`, or count it as lost."""
        if (
            self._ended
            or len(self._lines) >= _QUEUE_LINES
            or self._queued_bytes + len(line) > _QUEUE_BYTES
        ):
            self._dropped(1)
            return
        self._lines.append(line)
        self._queued_bytes += len(line)
        if self._idle:
            self._idle = False
            self._parked.unpark()

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Write the lines until cancelled, or until nobody reads them any more.

        Cancellation:
            What the reader takes at once is still written; the rest is counted as lost.
        """
        task_status.started()
        try:
            # A reader that is gone, or never was, is no reason to stop serving.
            with (
                contextlib.suppress(OSError),
                contextlib.closing(Output(self._fd)) as output,
            ):
                try:
                    await self._carry(output)
                finally:
                    self._flush(output)
        finally:
            self._end()

    async def sent(self) -> None:
        """Wait until every line has gone out, or until nobody reads them any more."""
        if (self._lines or self._unsent) and not self._ended:
            await self._waiting.park()

    async def _carry(self, output: Output) -> None:
        while True:
            if not self._lines and not self._unsent:
                self._idle = True
                self._waiting.unpark_all()
                await self._parked.park()
                await trio.sleep(self._linger)
            while self._write_some(output, _BATCHES):
                await trio.lowlevel.checkpoint()
            if self._unsent:
                await output.wait()

    def _flush(self, output: Output) -> None:
        with contextlib.suppress(OSError):
            self._write_some(output, _QUEUE_LINES)

    def _write_some(self, output: Output, batches: int) -> bool:
        """Write as many *batches* as are taken at once; whether all of them were."""
        for _ in range(batches):
            batch = self._batch()
            taken = output.try_write(batch) if batch else 0
            if not taken:
                return False
            self._unsent = batch[taken:]
        return True

    def _batch(self) -> bytes:
        """What is next: the rest of the last batch, or as many lines as fit in one."""
        if not self._unsent:
            batch: list[bytes] = []
            size = 0
            while self._lines and (
                not batch or size + len(self._lines[0]) <= LINE_BYTES
            ):
                line = self._lines.popleft()
                batch.append(line)
                size += len(line)
            self._queued_bytes -= size
            self._unsent = b"".join(batch)
        return self._unsent

    def _end(self) -> None:
        self._ended = True
        self._waiting.unpark_all()
        lost = len(self._lines) + self._unsent.count(b"\n")
        self._lines.clear()
        self._unsent = b""
        if lost:
            self._dropped(lost)
