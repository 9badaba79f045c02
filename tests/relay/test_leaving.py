"""What came whole reaches the application before the reset that ends it."""

from __future__ import annotations

from select import POLLHUP
from typing import TYPE_CHECKING

import pytest
import trio.testing

from sidecar.relay.flow import Ending
from sidecar.telemetry.labels import Outcome
from tests.relay.relaying import Kind, is_reset, receive_exactly, some_bytes
from tests.relay.wires import arrived, fill_up

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sidecar.relay.end import End
    from sidecar.relay.leaving import Leaving
    from tests.relay.relaying import Carried, Relay

MUCH = some_bytes(300_000)
"""More than a peer's kernel takes before it reads, and less than ours does."""
TINY = 4096, 4096
TRUNCATED = Ending(Outcome.TRUNCATED, "the peer ended without close_notify")


def ends(carried: Carried, kind: Kind) -> tuple[End, End]:
    """The flow's ends: the one with TLS, and the plain one."""
    flow = carried.flow
    if kind is Kind.TLS_DOWNSTREAM:
        return flow.downstream, flow.upstream
    return flow.upstream, flow.downstream


async def end_with_fin(carried: Carried) -> None:
    await carried.tls.wire.end()


async def end_with_reset(carried: Carried) -> None:
    carried.tls.reset()


async def end_with_a_broken_record(carried: Carried) -> None:
    await carried.tls.wire.send(b"\x17\x03\x03\x00\x20" + bytes(32))


@pytest.mark.parametrize(
    "end", [end_with_fin, end_with_reset, end_with_a_broken_record]
)
async def test_what_came_whole_arrives_before_the_reset(
    relay: Relay, tls_kind: Kind, end: Callable[[Carried], Awaitable[None]]
) -> None:
    carried = relay.open(tls_kind)
    tls, _ = ends(carried, tls_kind)
    await carried.tls.send(MUCH)
    await relay.until(lambda: tls.moved == len(MUCH))
    await end(carried)
    await relay.until(lambda: carried.flow.leaving)
    assert await receive_exactly(carried.plain, len(MUCH)) == MUCH
    assert await is_reset(carried.plain)
    outcome = await carried.outcome()
    assert outcome not in {Outcome.COMPLETED, Outcome.INTERNAL_ERROR}


async def test_nobody_waits_for_what_there_is_none_of(
    relay: Relay, tls_kind: Kind
) -> None:
    carried = await relay.parked(tls_kind)
    await carried.tls.wire.end()
    assert await carried.ending() == TRUNCATED
    assert carried.flow.leaving is None


async def test_an_application_that_reads_slowly_costs_no_turns_of_the_engine(
    relay: Relay, tls_kind: Kind
) -> None:
    carried = await left_with(relay, tls_kind, MUCH)
    await carried.plain.send(b"an answer that nobody waits for")
    assert await relay.calls_in_a_while() == 0
    await receive_exactly(carried.plain, len(MUCH))
    assert await carried.ending() == TRUNCATED


async def test_a_cut_does_not_wait_for_the_application(
    relay: Relay, tls_kind: Kind
) -> None:
    carried = await left_with(relay, tls_kind, MUCH)
    carried.scope.cancel()
    await carried.over.wait()
    assert carried.flow.ending == Ending(Outcome.DRAINED)


async def left_with(relay: Relay, kind: Kind, data: bytes) -> Carried:
    """A flow whose TLS peer has left, with *data* that is still on its way."""
    carried = relay.open(kind)
    tls, _ = ends(carried, kind)
    await carried.tls.send(data)
    await relay.until(lambda: tls.moved == len(data))
    await carried.tls.wire.end()
    await relay.until(lambda: carried.flow.leaving)
    return carried


async def stuck(relay: Relay, kind: Kind) -> tuple[Carried, Leaving]:
    """A flow that waits for an application which takes nothing."""
    carried = await relay.parked(kind, TINY)
    _, plain = ends(carried, kind)
    fill_up(plain.sock)
    plain.pending = memoryview(b"and the rest")
    carried.flow.leave(TRUNCATED, plain, plain)
    assert carried.flow.leaving is not None
    return carried, carried.flow.leaving


async def test_an_application_that_takes_nothing_for_a_minute_is_given_up(
    by_hand: Relay, tls_kind: Kind
) -> None:
    carried, leaving = await stuck(by_hand, tls_kind)
    assert not leaving.look(leaving.since + 59)
    assert leaving.look(leaving.since + 60)
    assert await carried.ending() == TRUNCATED


async def test_the_minute_begins_anew_with_every_byte_that_is_taken(
    by_hand: Relay, tls_kind: Kind
) -> None:
    carried, leaving = await stuck(by_hand, tls_kind)
    began, left = leaving.since, leaving.left
    while leaving.left == left:
        await carried.plain.receive()
        assert not leaving.look(began + 59)
    assert not leaving.look(began + 118)
    assert leaving.look(began + 119)


async def test_what_waited_for_room_goes_out_before_the_end(
    by_hand: Relay, tls_kind: Kind
) -> None:
    carried, leaving = await stuck(by_hand, tls_kind)
    got = b""
    while not leaving.look(leaving.since):
        got += await carried.plain.receive()
    assert got.endswith(b"and the rest")


async def test_an_application_that_leaves_too_is_not_waited_for(
    by_hand: Relay, tls_kind: Kind
) -> None:
    carried, leaving = await stuck(by_hand, tls_kind)
    _, plain = ends(carried, tls_kind)
    carried.plain.reset()
    arrived(plain.sock, event=POLLHUP)
    assert leaving.look(leaving.since)
    assert await carried.ending() == TRUNCATED


async def test_a_flow_leaves_once(by_hand: Relay, tls_kind: Kind) -> None:
    carried, leaving = await stuck(by_hand, tls_kind)
    tls, _ = ends(carried, tls_kind)
    carried.flow.leave(Ending(Outcome.COMPLETED), tls)
    carried.flow.settle()
    assert carried.flow.leaving is leaving
    carried.scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert leaving.look(leaving.since)
    assert carried.flow.ending == Ending(Outcome.DRAINED)
