from __future__ import annotations

import trio
import trio.testing

from sidecar.config.model import Endpoint
from sidecar.proxy.connection import Connection, ConnectionTable
from sidecar.relay.flow import Ending
from sidecar.telemetry.labels import Direction, Outcome, Reason


def connection(port: int = 1) -> Connection:
    return Connection(Direction.INBOUND, Endpoint("10.0.0.1", port), 0.0)


def test_nothing_is_known_of_a_connection_at_first() -> None:
    new = connection()
    assert new.reason is Reason.OK
    assert new.published == (0, 0)
    assert not any(
        (new.destination, new.upstream, new.peer, new.session, new.rule, new.flow)
    )
    assert not any((new.decision, new.generation, new.cut))


def test_two_connections_of_one_source_are_two() -> None:
    table = ConnectionTable()
    one, other = connection(), connection()
    assert one != other
    table.add(one)
    table.add(other)
    assert len(table) == 2
    table.remove(one)
    assert list(table) == [other]


def test_adding_and_removing_twice_is_once() -> None:
    table = ConnectionTable()
    one = connection()
    for _ in range(2):
        table.add(one)
    assert len(table) == 1
    for _ in range(2):
        table.remove(one)
    assert len(table) == 0


def test_a_connection_may_go_while_all_are_looked_at() -> None:
    table = ConnectionTable()
    for port in range(10):
        table.add(connection(port))
    for each in table:
        table.remove(each)
    assert list(table) == []


def test_the_most_that_were_open_at_once_are_told_once() -> None:
    table = ConnectionTable()
    coming = [connection(port) for port in range(3)]
    for each in coming:
        table.add(each)
    table.remove(coming[0])
    table.add(coming[0])
    table.remove(coming[1])
    table.remove(coming[2])
    assert table.take_most() == 3
    assert table.take_most() == 1


async def test_an_empty_table_is_not_waited_for() -> None:
    table = ConnectionTable()
    await table.wait_empty()
    table.add(one := connection())
    table.remove(one)
    await table.wait_empty()


async def test_all_who_wait_are_told_when_the_last_one_goes() -> None:
    table = ConnectionTable()
    one, other = connection(), connection()
    table.add(one)
    table.add(other)
    told: list[int] = []

    async def waits(number: int) -> None:
        await table.wait_empty()
        told.append(number)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(waits, number)
                await trio.testing.wait_all_tasks_blocked()
            table.remove(one)
            await trio.testing.wait_all_tasks_blocked()
            assert told == []
            table.remove(other)
    assert sorted(told) == [0, 1, 2]


async def test_one_that_comes_as_the_last_one_goes_is_waited_for_as_well() -> None:
    table = ConnectionTable()
    one, late = connection(), connection()
    table.add(one)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(table.wait_empty)
        await trio.testing.wait_all_tasks_blocked()
        table.remove(one)
        table.add(late)
        await trio.testing.wait_all_tasks_blocked()
        assert nursery.child_tasks
        table.remove(late)


async def test_one_that_is_ended_is_cancelled_and_the_first_ending_counts() -> None:
    one = connection()
    first = Ending(Outcome.DENIED, "the policy has changed")
    with one.scope:
        one.end(first)
        one.end(Ending(Outcome.IDLE_TIMEOUT))
        await trio.sleep_forever()
    assert one.scope.cancelled_caught
    assert one.cut is first
