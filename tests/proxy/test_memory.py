from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from sidecar.config.model import Endpoint
from sidecar.proxy.connection import Connection, ConnectionTable
from sidecar.proxy.memory import give_back, trim
from sidecar.telemetry.labels import Direction

if TYPE_CHECKING:
    from trio.testing import MockClock

MIB = 1 << 20


def crowd(table: ConnectionTable, count: int) -> list[Connection]:
    """So many more connections."""
    nowhere = Endpoint("10.0.0.1", 1)
    coming = [Connection(Direction.INBOUND, nowhere, 0.0) for _ in range(count)]
    for each in coming:
        table.add(each)
    return coming


def leave(table: ConnectionTable, leaving: list[Connection]) -> None:
    for each in leaving:
        table.remove(each)


@pytest.mark.parametrize(
    ("most", "left", "given"),
    [(99, 0, 0), (100, 0, 1), (199, 100, 0), (200, 100, 1), (1000, 501, 0)],
)
async def test_memory_is_given_back_when_half_of_a_crowd_has_left(
    autojump_clock: MockClock, most: int, left: int, given: int
) -> None:
    table, calls = ConnectionTable(), list[float]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_back, table, lambda: calls.append(trio.current_time()))
        leave(table, crowd(table, most)[left:])
        await trio.sleep(300)
        nursery.cancel_scope.cancel()
    assert len(calls) == given


async def test_those_who_leave_slowly_are_a_crowd_too(
    autojump_clock: MockClock,
) -> None:
    table, calls = ConnectionTable(), list[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_back, table, lambda: calls.append(len(table)))
        coming = crowd(table, 1000)
        while coming:
            await trio.sleep(40)
            leave(table, [coming.pop() for _ in range(50)])
        await trio.sleep(300)
        nursery.cancel_scope.cancel()
    assert calls == [500, 250, 100, 0]


async def test_the_next_crowd_is_another(autojump_clock: MockClock) -> None:
    table, calls = ConnectionTable(), list[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_back, table, lambda: calls.append(len(table)))
        for _ in range(3):
            leave(table, crowd(table, 500))
            await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert calls == [0, 0, 0]


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_what_lies_between_what_is_used_is_given_back() -> None:
    blocks = [os.urandom(100_000) for _ in range(1000)]  # below what malloc would map
    blocks[:-1] = []  # the last holds down all that is beneath it
    before = resident()
    trim()
    assert before - resident() > 50 * MIB
    assert len(blocks[0]) == 100_000
