"""The operational log: JSON lines on standard error, through the standard library.

Modules log with `logging.getLogger(__name__)`; this one decides how it looks. An event
is a short constant text, what belongs to it goes into `extra`. Nothing secret is ever
passed to a logger: there is no filter here that would find it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Final

import trio

from sidecar.config.model import LogLevel
from sidecar.telemetry.json_line import Scalar, encode, rfc3339
from sidecar.telemetry.line_writer import LineWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

_STDERR: Final = 2

# Before and after the event loop there is no traffic to hold up, but a start and a
# stop must not hang for ever on a reader that is stuck.
_PATIENCE_MILLISECONDS = 1000

_PLUMBING = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


def configure(level: LogLevel, *, fd: int = _STDERR) -> LogHandler:
    """Send everything that is logged, and Python's warnings, to *fd* as JSON lines.

    Lines are written at once until the handler's `run` is started, and by it from then.
    """
    handler = LogHandler(fd)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.captureWarnings(capture=True)
    set_level(level)
    return handler


def set_level(level: LogLevel) -> None:
    """Log what is at least as important as *level*, from now on."""
    logging.getLogger().setLevel(level.upper())


def current_level() -> LogLevel:
    """The level that `set_level` set."""
    name = logging.getLevelName(logging.getLogger().level)
    return LogLevel(name.lower())


class LogHandler(logging.Handler):
    """Writes log records as JSON lines without holding up the event loop."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._lost = 0
        self._writer: LineWriter | None = None
        self._loop: trio.lowlevel.TrioToken | None = None
        self._loop_thread = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*, from whichever thread it comes. Never raises."""
        fields = dict(_fields(record))
        writer = self._writer
        if writer is None or self._loop is None:
            self._write_now(encode(fields))
        elif threading.get_ident() == self._loop_thread:
            self._queue(writer, fields)
        else:
            try:
                self._loop.run_sync_soon(self._queue, writer, fields)
            except trio.RunFinishedError:
                self._write_now(encode(fields))

    async def run(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Write from a task, so that a stalled reader stalls nothing else.

        Cancellation:
            What the reader takes at once is still written.
        """
        self._loop = trio.lowlevel.current_trio_token()
        self._loop_thread = threading.get_ident()
        self._writer = LineWriter(self._fd, self._count_lost)
        try:
            await self._writer.run(task_status=task_status)
        finally:
            self._writer = None

    def _queue(self, writer: LineWriter, fields: dict[str, Scalar]) -> None:
        lost, self._lost = self._lost, 0
        if lost:
            fields["lost"] = lost
        writer.put(encode(fields))
        if self._lost:
            # This one is lost as well, and what it was to tell with it.
            self._lost += lost

    def _count_lost(self, lines: int) -> None:
        self._lost += lines

    def _write_now(self, line: bytes) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        # Standard error may be closed, and there is nowhere else to complain.
        with contextlib.suppress(OSError):
            if poll.poll(_PATIENCE_MILLISECONDS):
                os.write(self._fd, line)


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, Scalar]]:
    yield "time", rfc3339(datetime.fromtimestamp(record.created, UTC))
    yield "level", record.levelname.lower()
    try:
        yield "event", record.getMessage()
    except Exception:  # noqa: BLE001 - arguments that do not fit must not stop the log
        yield "event", _plain(record.msg)
    for name, value in vars(record).items():
        if name not in _PLUMBING and name not in {"time", "level", "event"}:
            yield name, _plain(value)
    if record.exc_info and record.exc_info[0]:
        yield "traceback", logging.Formatter().formatException(record.exc_info)


def _plain(value: object) -> Scalar:
    """*value* as JSON knows it, else its text."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a value that cannot be shown must not stop the log
        return f"<{type(value).__name__}>"
