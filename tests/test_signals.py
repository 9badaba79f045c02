from __future__ import annotations

import os
import signal

import pytest
import trio

from sidecar import early_signals
from sidecar.signals import watch_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_reload_that_hangs_does_not_hold_up_a_stop(
    number: signal.Signals,
) -> None:
    reloading, stopped = trio.Event(), trio.Event()

    async def hang() -> None:
        reloading.set()
        await trio.sleep_forever()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(watch_signals, stopped.set, hang)
            os.kill(os.getpid(), signal.SIGHUP)
            await reloading.wait()
            assert not stopped.is_set()
            os.kill(os.getpid(), number)
            await stopped.wait()
            nursery.cancel_scope.cancel()


async def test_a_stop_that_came_early_is_not_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(early_signals, "_asked", [signal.SIGTERM])
    stopped = trio.Event()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(watch_signals, stopped.set, trio.sleep_forever)
            await stopped.wait()
            nursery.cancel_scope.cancel()
