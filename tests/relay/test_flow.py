"""What every flow keeps: bytes, ends, resets and bounds, with TLS and without."""

from __future__ import annotations

import hashlib
import socket
from select import EPOLLHUP, EPOLLIN, EPOLLOUT, POLLHUP
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings, strategies as st

from sidecar.relay.flow import LARGE_READ, SMALL_READ, Ending
from sidecar.telemetry.labels import Outcome
from tests.relay.relaying import (
    Carried,
    Kind,
    Relay,
    Side,
    is_reset,
    receive_all,
    relaying,
    send_and_end,
    some_bytes,
)
from tests.relay.wires import arrived, fill_up

if TYPE_CHECKING:
    from tests.relay.relaying import AnyWire

SMALL = 65536, 65536
"""Kernel buffers with which a peer that does not read is soon noticed."""

TINY = 4096, 4096
"""Kernel buffers that stay full once they are (`fill_up`)."""

MUCH = some_bytes(4 << 20)
"""More than all buffers on the way hold together, if they are `SMALL`."""

NOT_WATCHED = -1
FEW = 10
"""Calls of handlers in a while: TCP's own timers make some, spinning makes thousands."""

MOST_PENDING = LARGE_READ + 4096
RESET_BY = {
    Side.DOWNSTREAM: Outcome.RESET_BY_DOWNSTREAM,
    Side.UPSTREAM: Outcome.RESET_BY_UPSTREAM,
}


async def digest(wire: AnyWire) -> str:
    """Receive to the end."""
    summed = hashlib.sha256()
    while piece := await wire.receive():
        summed.update(piece)
    return summed.hexdigest()


async def exchange(carried: Carried, down: bytes, up: bytes) -> None:
    """Send *down* to downstream and *up* to upstream at once, and end both."""
    arrived = {}

    async def receive(wire: AnyWire) -> None:
        arrived[wire] = await digest(wire)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_and_end, carried.upstream, down)
        nursery.start_soon(send_and_end, carried.downstream, up)
        nursery.start_soon(receive, carried.downstream)
        nursery.start_soon(receive, carried.upstream)
    assert arrived[carried.downstream] == hashlib.sha256(down).hexdigest()
    assert arrived[carried.upstream] == hashlib.sha256(up).hexdigest()


# --- bytes


async def test_twenty_megabytes_each_way_at_once_arrive_intact(
    relay: Relay, kind: Kind
) -> None:
    carried = relay.open(kind)
    data = some_bytes(20_000_000)
    await exchange(carried, data, data[::-1])
    assert await carried.ending() == Ending(Outcome.COMPLETED)


async def test_bytes_that_come_one_at_a_time_arrive_at_once(
    relay: Relay, kind: Kind, side: Side
) -> None:
    near, far = relay.open(kind).seen_from(side)
    for number in range(30):
        await near.send(bytes([number]))
        assert await far.receive() == bytes([number])


@settings(max_examples=8)
@given(
    kind=st.sampled_from(Kind),
    down=st.lists(st.integers(1, 200_000), max_size=8),
    up=st.lists(st.integers(1, 200_000), max_size=8),
)
async def test_pieces_of_any_size_arrive_as_one_stream(
    kind: Kind, down: list[int], up: list[int]
) -> None:
    async def send(wire: AnyWire, sizes: list[int]) -> None:
        for size in sizes:
            await wire.send(some_bytes(size))
            await trio.lowlevel.checkpoint()
        await wire.end()

    async with relaying() as relay, trio.open_nursery() as nursery:
        carried = relay.open(kind)
        nursery.start_soon(send, carried.upstream, down)
        nursery.start_soon(send, carried.downstream, up)
        to_down = await receive_all(carried.downstream)
        to_up = await receive_all(carried.upstream)
        assert to_down == b"".join(map(some_bytes, down))
        assert to_up == b"".join(map(some_bytes, up))
        assert await carried.outcome() is Outcome.COMPLETED


async def test_the_counts_are_the_bytes_of_the_application(
    relay: Relay, kind: Kind
) -> None:
    carried = relay.open(kind)
    await exchange(carried, down=bytes(300_001), up=bytes(70_002))
    await carried.ending()
    assert (carried.flow.received, carried.flow.sent) == (70_002, 300_001)


@pytest.mark.parametrize("kind", Kind)
async def test_reads_are_small_until_a_connection_has_moved_much(
    by_hand: Relay, kind: Kind
) -> None:
    carried = await by_hand.parked(kind)
    flow = carried.flow
    assert flow.step == SMALL_READ
    flow.downstream.moved = flow.upstream.moved = LARGE_READ // 2
    await carried.upstream.send(b"x")
    await by_hand.turn()
    assert flow.step == SMALL_READ
    # Twice as much, for a read may end in the middle of a record.
    await carried.upstream.send(bytes(2 * SMALL_READ))
    while flow.received + flow.sent < LARGE_READ + 2 * SMALL_READ:
        await by_hand.turn()
    assert flow.step == LARGE_READ


# --- ends


async def test_one_direction_ends_and_the_other_goes_on(
    relay: Relay, kind: Kind, side: Side
) -> None:
    carried = relay.open(kind)
    near, far = carried.seen_from(side)
    await near.send(b"a question")
    await near.end()
    assert await receive_all(far) == b"a question"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_and_end, far, MUCH)
        assert await receive_all(near) == MUCH
    assert await carried.ending() == Ending(Outcome.COMPLETED)


async def test_an_end_waits_for_the_bytes_before_it(
    relay: Relay, kind: Kind, side: Side
) -> None:
    carried = relay.open(kind, SMALL)
    near, far = carried.seen_from(side)
    _, behind = carried.ends_from(side)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_and_end, near, MUCH)
        await relay.until(lambda: behind.pending)
        await relay.quiet()
        assert await receive_all(far) == MUCH
    await far.end()
    assert await carried.outcome() is Outcome.COMPLETED


async def test_both_directions_may_end_at_once(relay: Relay, kind: Kind) -> None:
    carried = relay.open(kind)
    for wire in carried.wires:
        await wire.end()
    for wire in carried.wires:
        assert await receive_all(wire) == b""
    assert await carried.ending() == Ending(Outcome.COMPLETED)


# --- resets


async def test_a_reset_is_passed_on_and_named(
    relay: Relay, kind: Kind, side: Side
) -> None:
    carried = relay.open(kind)
    near, far = carried.seen_from(side)
    await near.send(b"the last words")
    assert await far.receive() == b"the last words"
    near.reset()
    assert await is_reset(far)
    ending = await carried.ending()
    assert ending.outcome is RESET_BY[side]
    assert "reset" in ending.detail


async def test_a_reset_is_seen_in_a_direction_that_has_ended(
    relay: Relay, kind: Kind, side: Side
) -> None:
    carried = relay.open(kind)
    near, far = carried.seen_from(side)
    await near.end()
    assert await receive_all(far) == b""
    near.reset()
    assert await carried.outcome() is RESET_BY[side]
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        await send_for_ever(far)


async def send_for_ever(wire: AnyWire) -> None:
    while True:
        await wire.send(b"x")
        await trio.lowlevel.checkpoint()


async def send_until_reset(wire: AnyWire) -> None:
    with pytest.raises(ConnectionResetError):
        await wire.send(MUCH)


@pytest.mark.parametrize("the_sender_resets", [True, False])
async def test_a_reset_is_seen_while_one_side_is_behind(
    relay: Relay, kind: Kind, side: Side, *, the_sender_resets: bool
) -> None:
    carried = relay.open(kind, SMALL)
    near, far = carried.seen_from(side)
    _, behind = carried.ends_from(side)
    with trio.CancelScope() as sending:
        async with trio.open_nursery() as nursery:
            if the_sender_resets:
                nursery.start_soon(near.send, MUCH)
            else:
                nursery.start_soon(send_until_reset, near)
            await relay.until(lambda: behind.pending)
            await relay.quiet()
            if the_sender_resets:
                sending.cancel()
            else:
                far.reset()
    if the_sender_resets:
        near.reset()
        assert await is_reset(far)
        assert await carried.outcome() is RESET_BY[side]
    else:
        other = next(each for each in Side if each is not side)
        assert await carried.outcome() is RESET_BY[other]


# --- bounds


async def test_a_reader_that_stops_costs_one_buffer_and_delays_nobody_else(
    relay: Relay, kind: Kind, side: Side
) -> None:
    carried = relay.open(kind, SMALL)
    near, far = carried.seen_from(side)
    _, behind = carried.ends_from(side)
    sent = trio.Event()

    async def send() -> None:
        await send_and_end(near, MUCH)
        sent.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await relay.until(lambda: behind.pending)
        await relay.quiet()
        assert behind.pending is not None
        assert len(behind.pending) <= MOST_PENDING
        assert not sent.is_set()

        await exchange(relay.open(kind), some_bytes(100_000), some_bytes(1000))

        assert not sent.is_set()
        assert len(behind.pending) <= MOST_PENDING
        assert await receive_all(far) == MUCH
    await far.end()
    assert await carried.outcome() is Outcome.COMPLETED


async def test_both_sides_may_be_behind_at_once(relay: Relay, kind: Kind) -> None:
    carried = relay.open(kind, SMALL)
    flow = carried.flow
    async with trio.open_nursery() as nursery:
        for wire in carried.wires:
            nursery.start_soon(send_and_end, wire, MUCH)
        await relay.until(lambda: flow.downstream.pending and flow.upstream.pending)
        await relay.quiet()
        assert await relay.calls_in_a_while() <= FEW
        nursery.start_soon(receive_all, carried.downstream)
        assert await receive_all(carried.upstream) == MUCH
    assert await carried.outcome() is Outcome.COMPLETED
    assert flow.received == flow.sent == len(MUCH)


# --- no spinning


async def test_nothing_is_done_while_nothing_comes(relay: Relay, kind: Kind) -> None:
    carried = relay.open(kind)
    assert await relay.calls_in_a_while() <= FEW
    await carried.downstream.send(b"x")
    await carried.upstream.receive()
    assert await relay.calls_in_a_while() <= FEW


async def test_nothing_is_done_while_half_closed(
    relay: Relay, kind: Kind, side: Side
) -> None:
    near, far = relay.open(kind).seen_from(side)
    await near.end()
    assert await receive_all(far) == b""
    assert await relay.calls_in_a_while() <= FEW


async def test_nothing_is_done_while_one_side_is_behind(
    relay: Relay, kind: Kind, side: Side
) -> None:
    carried = relay.open(kind, SMALL)
    near, far = carried.seen_from(side)
    _, behind = carried.ends_from(side)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.send, MUCH)
        await relay.until(lambda: behind.pending)
        assert await relay.calls_in_a_while() <= FEW
        await far.send(b"the other direction is free")
        assert await near.receive() == b"the other direction is free"
        assert await relay.calls_in_a_while() <= FEW
        nursery.cancel_scope.cancel()


async def test_a_side_that_hung_up_is_not_reported_for_ever(
    relay: Relay, kind: Kind, side: Side
) -> None:
    """Both its directions have seen a FIN, and there are bytes of it left to read."""
    sizes = (200_000, 16_384)
    carried = relay.open(kind, sizes if side is Side.DOWNSTREAM else sizes[::-1])
    near, far = carried.seen_from(side)
    _, behind = carried.ends_from(side)
    await far.end()
    assert await receive_all(near) == b""
    data = some_bytes(300_000)
    await send_and_end(near, data)
    near.close()
    await relay.until(lambda: behind.pending)
    assert await relay.calls_in_a_while() <= FEW
    assert not carried.over.is_set()
    assert await receive_all(far) == data
    assert await carried.outcome() is Outcome.COMPLETED


async def test_urgent_data_is_not_reported_for_ever(relay: Relay) -> None:
    carried = relay.open(Kind.PLAIN)
    carried.downstream.sock.send(b"!", socket.MSG_OOB)
    assert await relay.calls_in_a_while() <= FEW
    await exchange(carried, some_bytes(1000), some_bytes(1000))


# --- what epoll is asked


@pytest.mark.parametrize(
    ("pending", "other_pending", "ended", "mask"),
    [
        (False, False, False, EPOLLIN),
        (True, False, False, EPOLLIN | EPOLLOUT),
        (False, True, False, 0),
        (True, True, False, EPOLLOUT),
        (False, False, True, 0),
        (True, False, True, EPOLLOUT),
        (False, True, True, 0),
        (True, True, True, EPOLLOUT),
    ],
)
async def test_an_end_is_watched_for_what_can_be_done(
    by_hand: Relay, *, pending: bool, other_pending: bool, ended: bool, mask: int
) -> None:
    carried = await by_hand.parked()
    end, other = carried.ends_from(Side.DOWNSTREAM)
    end.pending = memoryview(b"rest") if pending else None
    other.pending = memoryview(b"rest") if other_pending else None
    end.ended = ended
    await carried.downstream.send(b"there is something to read, and room to write")
    arrived(end.sock)
    carried.flow.settle()
    assert end.mask == mask
    assert by_hand.engine.ready().get(end.fd, 0) == mask
    assert other.shut is (ended and not other_pending)


async def test_a_hang_up_is_heard_once_and_what_came_before_is_still_read(
    by_hand: Relay,
) -> None:
    carried = await by_hand.parked(buffers=TINY)
    near, far = carried.wires
    end, behind = carried.ends_from(Side.DOWNSTREAM)
    await far.end()
    await by_hand.turn()
    assert await near.receive() == b""
    taken = fill_up(behind.sock)
    behind.pending = memoryview(b"pending, ")
    carried.flow.settle()
    await near.send(b"not read yet")
    near.close()
    arrived(end.sock, event=POLLHUP)
    assert by_hand.engine.ready() == {end.fd: EPOLLHUP}

    assert by_hand.engine.turn() == 1
    assert by_hand.engine.turn() == 0

    by_hand.nursery.start_soon(by_hand.engine.run)
    assert (await receive_all(far))[taken:] == b"pending, not read yet"
    assert await carried.outcome() is Outcome.COMPLETED


async def test_a_hang_up_with_nothing_to_read_is_left_alone(by_hand: Relay) -> None:
    carried = await by_hand.parked()
    end, behind = carried.ends_from(Side.DOWNSTREAM)
    end.ended = True
    behind.pending = memoryview(b"rest")
    carried.flow._on_downstream(EPOLLHUP)
    carried.flow.settle()
    assert end.mask == NOT_WATCHED
    await carried.downstream.send(b"x")
    arrived(end.sock)
    assert end.fd not in by_hand.engine.ready()


async def test_an_end_that_was_left_alone_is_watched_again(by_hand: Relay) -> None:
    carried = await by_hand.parked()
    end, behind = carried.ends_from(Side.DOWNSTREAM)
    behind.pending = memoryview(b"rest")
    carried.flow._on_downstream(EPOLLHUP)
    behind.pending = None
    for _ in range(2):
        carried.flow.settle()
        assert end.mask == EPOLLIN
    await carried.downstream.send(b"x")
    arrived(end.sock)
    assert end.fd in by_hand.engine.ready()


async def test_news_of_an_end_that_is_not_to_be_read_waits(by_hand: Relay) -> None:
    carried = await by_hand.parked()
    near, far = carried.wires
    _, behind = carried.ends_from(Side.DOWNSTREAM)
    await near.send(b"second")
    await near.end()
    arrived(carried.flow.downstream.sock)
    behind.pending = memoryview(b"first ")
    carried.flow.settle()
    carried.flow._on_downstream(EPOLLIN)  # reported before the other side was behind
    assert carried.flow.received == 0
    by_hand.nursery.start_soon(by_hand.engine.run)
    assert await receive_all(far) == b"first second"


# --- finishing


async def test_a_flow_ends_once(by_hand: Relay) -> None:
    carried = await by_hand.parked()
    ends = carried.ends_from(Side.DOWNSTREAM)
    ends[0].pending = memoryview(b"rest")
    carried.flow.settle()
    carried.flow.finish(Ending(Outcome.COMPLETED))
    carried.flow.finish(Ending(Outcome.DRAINED), *ends)
    carried.flow.settle()
    assert [end.pending for end in ends] == [None, None]
    assert await carried.ending() == Ending(Outcome.COMPLETED)


@pytest.mark.parametrize("reset_sides", [(), *((each,) for each in Side), tuple(Side)])
async def test_the_ends_that_are_named_are_reset_and_the_others_ended(
    by_hand: Relay, reset_sides: tuple[Side, ...]
) -> None:
    carried = await by_hand.parked()
    ends = [carried.ends_from(each)[0] for each in reset_sides]
    carried.flow.finish(Ending(Outcome.TRUNCATED), *ends)
    for each in Side:
        near, _ = carried.seen_from(each)
        assert await is_reset(near) is (each in reset_sides)


async def test_a_position_changes_with_each_byte_that_moves(by_hand: Relay) -> None:
    flow = (await by_hand.parked()).flow
    seen = {flow.position()}
    flow.downstream.moved += 5
    seen.add(flow.position())
    flow.upstream.moved += 5
    seen.add(flow.position())
    flow.upstream.pending = memoryview(b"12345")
    seen.add(flow.position())
    flow.downstream.pending = memoryview(b"1234")
    seen.add(flow.position())
    assert len(seen) == 5
