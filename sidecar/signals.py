"""What the signals that an orchestrator sends are for."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import trio

from sidecar import early_signals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def watch_signals(
    stop: Callable[[], None],
    reload: Callable[[], Awaitable[object]],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Turn signals into calls, until cancelled."""
    watched = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    async with trio.open_nursery() as reloads:
        with trio.open_signal_receiver(*watched) as signals:
            task_status.started()
            for _ in early_signals.asked():
                stop()
            async for number in signals:
                if number == signal.SIGHUP:
                    # Not awaited: slow files must not hold up the end.
                    reloads.start_soon(reload)
                else:
                    stop()
