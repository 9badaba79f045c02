"""What is a plain flow's own: the bytes that were read before it began."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sidecar.relay.flow import Ending
from sidecar.relay.plain_flow import PlainFlow
from sidecar.telemetry.labels import Outcome
from tests.relay.relaying import Carried, receive_all, some_bytes
from tests.relay.wires import Wire, fill_up

if TYPE_CHECKING:
    from tests.relay.relaying import Relay

TINY = 4096


def begin_with(relay: Relay, first: bytes) -> Carried:
    near_down, down = relay.wire()
    near_up, up = relay.wire()
    return relay.carry(Carried(PlainFlow(near_down, near_up, first), down, up))


async def test_what_was_read_before_goes_first_and_counts(relay: Relay) -> None:
    carried = begin_with(relay, b"peeked at, ")
    await carried.downstream.send(b"and then sent")
    await carried.downstream.end()
    assert await receive_all(carried.upstream) == b"peeked at, and then sent"
    await carried.upstream.end()
    assert await carried.ending() == Ending(Outcome.COMPLETED)
    assert carried.flow.received == len(b"peeked at, and then sent")
    assert carried.flow.sent == 0


async def test_nothing_was_read_before(relay: Relay) -> None:
    carried = begin_with(relay, b"")
    await carried.upstream.send(b"the server speaks first")
    assert await carried.downstream.receive() == b"the server speaks first"
    assert carried.flow.received == 0


async def test_the_server_may_be_behind_from_the_first_byte(relay: Relay) -> None:
    first = some_bytes(8 << 20)
    carried = begin_with(relay, first)
    await carried.downstream.send(b"!")
    await carried.downstream.end()
    assert await receive_all(carried.upstream) == first + b"!"


async def test_the_server_may_be_gone_before_the_first_byte(relay: Relay) -> None:
    near_down, down = relay.wire()
    near_up, up = relay.wire()
    up.reset()
    flow = PlainFlow(near_down, near_up, b"peeked at")
    assert (await relay.engine.carry(flow)).outcome is Outcome.RESET_BY_UPSTREAM
    with pytest.raises(ConnectionResetError):
        await down.receive()


async def test_nothing_is_read_while_the_first_bytes_wait(by_hand: Relay) -> None:
    near_down, down = by_hand.wire()
    near_up, up = by_hand.wire(TINY)
    taken = fill_up(near_up)
    flow = PlainFlow(near_down, near_up, b"peeked at")
    by_hand.carry(Carried(flow, down, up))
    await down.send(b" and then sent")
    await by_hand.parked()
    assert by_hand.engine.turn() == 0
    assert flow.received == len(b"peeked at")

    by_hand.nursery.start_soon(by_hand.engine.run)
    await down.end()
    assert (await receive_all(Wire(up.sock)))[taken:] == b"peeked at and then sent"
