from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

import trio
from attrs import evolve

from sidecar.config.model import Config, Endpoint, Identity
from sidecar.redirect.sole_user import LOOK_SECONDS, watch
from tests.redirect.doctor.pods import CONFIG

if TYPE_CHECKING:
    import pytest
    from trio.testing import MockClock


def told(caplog: pytest.LogCaptureFixture, listener: socket.socket) -> int:
    """How often it was said of this listener. Others of our user are no matter."""
    host, port = listener.getsockname()
    records = [vars(each) for each in caplog.records if each.levelno == logging.WARNING]
    return [each["listens"] for each in records].count(f"{host}:{port}")


async def test_who_stays_is_told_of_once_and_again_when_it_comes_back(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    assert autojump_clock.autojump_threshold == 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, CONFIG)
            await trio.sleep(1.5 * LOOK_SECONDS)
            assert told(caplog, listener) == 0
            await trio.sleep(3 * LOOK_SECONDS)
            assert told(caplog, listener) == 1
            listener.close()
            await trio.sleep(2 * LOOK_SECONDS)
            with socket.create_server(("127.0.0.1", port)) as again:
                await trio.sleep(3 * LOOK_SECONDS)
                assert told(caplog, again) == 2
            nursery.cancel_scope.cancel()


async def test_the_sidecars_own_ports_are_not_told_of(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    assert autojump_clock.autojump_threshold == 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        own = Endpoint(*listener.getsockname())
        config = evolve(CONFIG, telemetry=own)
        with trio.move_on_after(4 * LOOK_SECONDS):
            await watch(config)
        assert told(caplog, listener) == 0


async def test_where_no_rules_lead_to_us_there_is_nothing_to_look_at() -> None:
    await watch(Config(Identity()))


async def test_root_with_tproxy_has_no_user_of_its_own_to_look_for(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    """The rules know it by its group; anybody may be root beside it."""
    original = evolve(CONFIG.inbound.listeners[0], transparent=True)
    config = evolve(CONFIG, inbound=evolve(CONFIG.inbound, listeners=(original,)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with trio.move_on_after(3 * LOOK_SECONDS) as looking:
            await watch(config)
        root = os.geteuid() == 0
        assert looking.cancelled_caught is not root
        assert told(caplog, listener) == (0 if root else 1)
