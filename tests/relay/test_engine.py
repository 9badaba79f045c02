"""Many flows in one task: fair, none at the mercy of another, cancelled at any point."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from select import POLLHUP
from typing import TYPE_CHECKING, Self

import pytest
import trio
import trio.testing

from sidecar.relay.engine import Engine
from sidecar.relay.flow import LARGE_READ, Ending
from sidecar.relay.leaving import Leaving
from sidecar.relay.plain_flow import PlainFlow
from sidecar.telemetry.labels import Outcome
from tests.relay.relaying import (
    AnyWire,
    Carried,
    Kind,
    Side,
    is_reset,
    receive_all,
    some_bytes,
)
from tests.relay.wires import Wire, arrived, connected, fill

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sidecar.relay.end import End
    from tests.relay.relaying import Relay

SMALL = 65536, 65536
MUCH = some_bytes(4 << 20)


async def works(carried: Carried) -> bool:
    """Have a word each way."""
    for near, far in (carried.wires, carried.wires[::-1]):
        await near.send(b"a word")
        if await far.receive() != b"a word":
            return False
    return True


# --- fairness


async def test_a_turn_serves_each_connection_before_it_serves_one_twice(
    by_hand: Relay,
) -> None:
    bulk = [await by_hand.parked() for _ in range(8)]
    small = await by_hand.parked()
    for each in bulk:
        fill(each.downstream.sock)
    await small.downstream.send(b"ping")
    arrived(*(each.flow.downstream.sock for each in [*bulk, small]))

    while by_hand.engine.turn():
        pass

    busy = [each.flow.downstream.fd for each in bulk]
    first_round = by_hand.engine.calls[: len(bulk) + 1]
    assert sorted(first_round) == sorted([*busy, small.flow.downstream.fd])
    assert by_hand.engine.calls.count(busy[0]) > 1, "it had more to move"


async def test_an_event_moves_at_most_one_buffer(by_hand: Relay, kind: Kind) -> None:
    carried = await by_hand.parked(kind)
    carried.flow.step = LARGE_READ  # it is known to be a large one
    async with trio.open_nursery() as nursery:
        nursery.start_soon(carried.downstream.send, MUCH)
        await trio.testing.wait_all_tasks_blocked()
        by_hand.engine.stay_cold()
        before = carried.flow.received
        assert await by_hand.turn() == 1
        assert 0 < carried.flow.received - before <= 2 * 131072
        nursery.cancel_scope.cancel()


async def test_more_connections_than_fit_a_batch_are_all_served(
    by_hand: Relay,
) -> None:
    many = [by_hand.open(Kind.PLAIN) for _ in range(300)]
    await trio.testing.wait_all_tasks_blocked()
    for each in many:
        await each.downstream.send(b"x")
        arrived(each.flow.downstream.sock)
    by_hand.engine.stay_cold()
    assert by_hand.engine.turn() == 256
    assert by_hand.engine.turn() == 300 - 256
    for each in many:
        assert await each.upstream.receive() == b"x"


async def test_a_conversation_goes_on_beside_a_flood(relay: Relay, kind: Kind) -> None:
    flood = relay.open(kind)
    talk = relay.open(kind)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_for_ever, flood.downstream)
        nursery.start_soon(discard, flood.upstream)
        waits = []
        for _ in range(50):
            before = len(relay.engine.calls)
            await talk.downstream.send(b"ping")
            await talk.upstream.receive()
            calls = relay.engine.calls[before:]
            waits.append(calls.index(talk.flow.downstream.fd))
        nursery.cancel_scope.cancel()
    assert flood.flow.received > 0
    # The kernel may be late to tell, but not as a rule.
    assert sorted(waits)[len(waits) // 2] <= 4, waits


async def send_for_ever(wire: AnyWire) -> None:
    while True:
        await wire.send(MUCH)
        await trio.lowlevel.checkpoint()


async def discard(wire: AnyWire) -> None:
    while await wire.receive():
        await trio.lowlevel.checkpoint()


async def test_while_connections_are_set_up_a_turn_is_one_batch(
    by_hand: Relay,
) -> None:
    carried = await by_hand.parked()
    fill(carried.downstream.sock)
    by_hand.engine.stay_cold()
    assert [await by_hand.turn() for _ in range(5)] == [1] * 5
    by_hand.engine._cold_until = 0
    # A busy machine may end a turn early, but not each of them.
    assert any(by_hand.engine.turn() > 1 for _ in range(20))


async def test_a_turn_ends_though_there_is_always_more(by_hand: Relay) -> None:
    near, far = connected()
    far.send(b"never read")
    arrived(near)

    def ignore(_events: int) -> None:
        if len(by_hand.engine.calls) == 1_000_000:  # so that a failure ends, too
            by_hand.engine.unwatch(near.fileno())

    by_hand.engine.register(near.fileno(), ignore)
    by_hand.engine.turn()
    assert 0 < len(by_hand.engine.calls) < 1_000_000
    by_hand.engine.forget(near.fileno())
    near.close()
    far.close()


async def test_a_listener_with_news_makes_the_engine_yield(by_hand: Relay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        by_hand.engine.yield_to(listener)
        assert by_hand.engine.turn() == 0
        before = by_hand.engine._cold_until
        with socket.create_connection(listener.getsockname()):
            arrived(listener)
            by_hand.engine.turn()
            after = by_hand.engine._cold_until
            assert after > before
            by_hand.engine.turn()
            assert by_hand.engine._cold_until == after, "a backlog is told of once"
        by_hand.engine.forget(listener.fileno())


# --- cancellation


Watch = Iterator[AnyWire]
"""Peers that are not busy, and so can see for themselves that they were reset."""


async def not_begin(_relay: Relay, carried: Carried, _tasks: trio.Nursery) -> Watch:
    """Leave it as it is: its task has not run yet."""
    return iter(carried.wires)


async def rest(relay: Relay, carried: Carried, _tasks: trio.Nursery) -> Watch:
    assert await works(carried)
    await relay.quiet()
    return iter(carried.wires)


async def move(relay: Relay, carried: Carried, tasks: trio.Nursery) -> Watch:
    tasks.start_soon(meet_a_reset, send_for_ever, carried.downstream)
    tasks.start_soon(meet_a_reset, discard, carried.upstream)
    await relay.until(lambda: carried.flow.received > 1 << 20)
    return iter(())


async def fall_behind(relay: Relay, carried: Carried, tasks: trio.Nursery) -> Watch:
    tasks.start_soon(meet_a_reset, send_for_ever, carried.upstream)
    await relay.until(lambda: carried.flow.downstream.pending)
    return iter([carried.downstream])


async def half_close(relay: Relay, carried: Carried, _tasks: trio.Nursery) -> Watch:
    await carried.downstream.end()
    assert await receive_all(carried.upstream) == b""
    await relay.quiet()
    return iter(carried.wires)


async def half_close_upstream(
    relay: Relay, carried: Carried, _tasks: trio.Nursery
) -> Watch:
    await carried.upstream.end()
    assert await receive_all(carried.downstream) == b""
    await relay.quiet()
    return iter(carried.wires)


async def meet_a_reset(do: Callable[[AnyWire], Awaitable[None]], wire: AnyWire) -> None:
    with pytest.raises(ConnectionResetError):
        await do(wire)


@pytest.mark.parametrize(
    "bring_to", [not_begin, rest, move, fall_behind, half_close, half_close_upstream]
)
async def test_whenever_it_is_cancelled_both_sides_are_reset(
    relay: Relay,
    kind: Kind,
    bring_to: Callable[[Relay, Carried, trio.Nursery], Awaitable[Watch]],
) -> None:
    bystander = relay.open(kind)
    carried = relay.open(kind, SMALL)
    async with trio.open_nursery() as tasks:
        watch = await bring_to(relay, carried, tasks)
        carried.scope.cancel()
        carried.scope.cancel()
        await carried.over.wait()
    assert carried.scope.cancelled_caught
    assert carried.flow.ending == Ending(Outcome.DRAINED)
    assert await works(bystander)
    assert relay.engine.flows == {bystander.flow}
    for wire in watch:
        assert await is_reset(wire)


@pytest.mark.parametrize("finished_first", [True, False])
async def test_it_ends_once_where_it_is_cancelled_in_the_same_tick(
    relay: Relay, *, finished_first: bool
) -> None:
    carried = relay.open(Kind.PLAIN)
    assert await works(carried)
    completed = Ending(Outcome.COMPLETED)
    if finished_first:
        carried.flow.finish(completed)
        carried.scope.cancel()
        assert await carried.ending() == completed
        assert not carried.scope.cancelled_caught
    else:
        carried.scope.cancel()
        carried.flow.finish(completed)
        await carried.over.wait()
        assert carried.scope.cancelled_caught
        assert carried.flow.ending == Ending(Outcome.DRAINED)
    assert await works(relay.open(Kind.PLAIN))


async def test_cancelling_the_engine_leaves_the_flows_to_their_tasks(
    by_hand: Relay,
) -> None:
    carried = await by_hand.parked()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(by_hand.engine.run)
        assert await works(carried)
        nursery.cancel_scope.cancel()
    assert by_hand.engine.flows == {carried.flow}
    carried.scope.cancel()
    await carried.over.wait()
    assert by_hand.engine.flows == set()


# --- one batch, several events of one flow


async def test_an_event_of_a_flow_that_has_just_ended_is_dropped(
    by_hand: Relay,
) -> None:
    carried = await by_hand.parked()
    bystander = await by_hand.parked()
    carried.upstream.reset()
    carried.downstream.reset()
    await bystander.downstream.send(b"x")
    ends = carried.ends_from(Side.DOWNSTREAM)
    arrived(*(end.sock for end in ends), event=POLLHUP)
    arrived(bystander.flow.downstream.sock)
    by_hand.engine.turn()
    assert await bystander.upstream.receive() == b"x"
    assert (await carried.ending()).outcome in {
        Outcome.RESET_BY_DOWNSTREAM,
        Outcome.RESET_BY_UPSTREAM,
    }
    assert len(by_hand.engine.calls) == 2


async def test_a_descriptor_that_is_used_again_belongs_to_the_new_flow(
    by_hand: Relay,
) -> None:
    old = await by_hand.parked()
    numbers = {end.fd for end in old.ends_from(Side.DOWNSTREAM)}
    old.upstream.reset()
    await by_hand.turn()
    new = await by_hand.parked()
    assert numbers & {end.fd for end in new.ends_from(Side.DOWNSTREAM)}
    by_hand.nursery.start_soon(by_hand.engine.run)
    assert await works(new)


# --- bugs


class Buggy(PlainFlow):
    """Fails in a way that no flow should."""

    def move(self, end: End) -> None:
        raise ZeroDivisionError(f"with {end.fd}")


class BuggyFromTheStart(PlainFlow):
    def begin(self) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("buggy", [Buggy, BuggyFromTheStart])
async def test_a_bug_costs_one_connection_and_is_logged(
    relay: Relay, caplog: pytest.LogCaptureFixture, buggy: type[PlainFlow]
) -> None:
    bystander = relay.open(Kind.PLAIN)
    near_down, down = relay.wire()
    near_up, up = relay.wire()
    carried = relay.carry(Carried(buggy(near_down, near_up), down, up))
    await up.send(b"x")
    assert await carried.ending() == Ending(Outcome.INTERNAL_ERROR)
    assert await is_reset(down)
    assert await is_reset(up)
    assert await works(bystander)
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)
    caplog.clear()


class BuggyLeaving(Leaving):
    """Is not over at once, and fails when it is looked at again."""

    def begin(self, now: float) -> bool:
        return False

    def look(self, now: float) -> bool:
        raise ZeroDivisionError


async def test_a_bug_while_one_leaves_costs_one_connection_and_is_logged(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    bystander, carried = relay.open(Kind.PLAIN), await relay.parked()
    flow = carried.flow
    end = Ending(Outcome.TRUNCATED)
    assert not relay.engine.see_off(BuggyLeaving(flow, end, flow.upstream, ()))
    assert await carried.ending() == Ending(Outcome.INTERNAL_ERROR)
    assert await works(bystander)
    assert len(caplog.records) == 1
    caplog.clear()


async def test_a_socket_that_cannot_be_watched_costs_one_connection(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    near_down, down = relay.wire()
    near_up, _ = relay.wire()
    flow = PlainFlow(near_down, near_up)
    near_up.close()
    assert await relay.engine.carry(flow) == Ending(Outcome.INTERNAL_ERROR)
    assert await is_reset(down)
    assert len(caplog.records) == 1
    caplog.clear()


async def test_a_bug_beside_the_flows_ends_none_of_them(
    by_hand: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    carried = await by_hand.parked()
    near, far = connected()
    by_hand.engine.yield_to(near)

    def fail(_events: int) -> None:
        raise ZeroDivisionError

    by_hand.engine._handlers[near.fileno()] = fail
    far.send(b"x")
    arrived(near)
    by_hand.engine.turn()
    assert len(caplog.records) == 1
    caplog.clear()
    by_hand.engine.forget(near.fileno())
    near.close()
    far.close()
    by_hand.nursery.start_soon(by_hand.engine.run)
    assert await works(carried)


# --- idleness


class IdleCheck:
    """An engine that cuts what is idle for a minute, by a clock of the test's."""

    def __init__(self, nursery: trio.Nursery, clock: trio.testing.MockClock) -> None:
        self.engine = Engine(idle_seconds=60)
        self._sockets: list[socket.socket] = []
        self._nursery, self._clock = nursery, clock
        nursery.start_soon(self.engine._watch_idle)

    def open(self) -> Carried:
        near_down, down = connected()
        near_up, up = connected()
        self._sockets += near_down, down, near_up, up
        carried = Carried(PlainFlow(near_down, near_up), Wire(down), Wire(up))
        self._nursery.start_soon(carried.carry, self.engine)
        return carried

    async def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            await trio.testing.wait_all_tasks_blocked()
            self._clock.jump(1)
        await trio.testing.wait_all_tasks_blocked()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._sockets:
            sock.close()
        self.engine.close()


async def test_a_flow_that_moves_nothing_is_cut(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    with IdleCheck(nursery, mock_clock) as check:
        idle = check.open()
        await check.pass_time(59)
        assert not idle.over.is_set()
        await check.pass_time(17)
        assert await idle.ending() == Ending(Outcome.IDLE_TIMEOUT)
        assert await is_reset(idle.downstream)
        assert await is_reset(idle.upstream)


@pytest.mark.parametrize("moves", ["downstream", "upstream", "pending"])
async def test_a_flow_that_moves_a_byte_now_and_then_is_not(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock, moves: str
) -> None:
    with IdleCheck(nursery, mock_clock) as check:
        active, idle = check.open(), check.open()
        flow = active.flow
        for left in range(5, 0, -1):
            if moves == "pending":  # a slow reader: nothing is read meanwhile
                flow.upstream.pending = memoryview(bytes(left))
            else:
                getattr(flow, moves).moved = 5 - left
            await check.pass_time(50)
        assert idle.over.is_set()
        assert not active.over.is_set()
        await check.pass_time(80)
        assert await active.ending() == Ending(Outcome.IDLE_TIMEOUT)


async def test_the_idle_time_can_be_another_from_now_on(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    with IdleCheck(nursery, mock_clock) as check:
        idle = check.open()
        await check.pass_time(59)
        check.engine.cut_idle(0)
        await check.pass_time(200)
        assert not idle.over.is_set()
        check.engine.cut_idle(20)
        await check.pass_time(19)
        assert not idle.over.is_set()
        check.engine.cut_idle(20)  # which is no change
        await check.pass_time(7)
        assert await idle.ending() == Ending(Outcome.IDLE_TIMEOUT)


async def test_an_engine_that_runs_cuts_what_is_idle(nursery: trio.Nursery) -> None:
    engine = Engine(idle_seconds=0.02)
    nursery.start_soon(engine.run)
    near_down, down = connected()
    near_up, up = connected()
    flow = PlainFlow(near_down, near_up)
    assert await engine.carry(flow) == Ending(Outcome.IDLE_TIMEOUT)
    nursery.cancel_scope.cancel()
    down.close()
    up.close()
    engine.close()
