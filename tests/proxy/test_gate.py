from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st

from sidecar.proxy.gate import HandshakeGate
from sidecar.telemetry.labels import Reason
from sidecar.tls.errors import HandshakeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio.testing import MockClock


async def at_once() -> str:
    return "done"


async def forever() -> None:
    await trio.sleep_forever()


def lasting(seconds: float) -> Callable[[], Awaitable[None]]:
    return partial(trio.sleep, seconds)


async def evicted(gate: HandshakeGate) -> float:
    """Stall, and give the time at which the place went to another."""
    with pytest.raises(HandshakeError, match="stalled while others waited") as error:
        await gate.run(forever)
    assert error.value.reason is Reason.TIMEOUT
    return trio.current_time()


async def test_a_handshake_gives_its_result() -> None:
    assert await HandshakeGate(1, strangers=True).run(at_once) == "done"


async def test_what_a_handshake_raises_is_raised_and_frees_its_place() -> None:
    gate = HandshakeGate(1, strangers=True)

    async def fails() -> None:
        raise HandshakeError(Reason.EXPIRED, "too late")

    for _ in range(3):
        with pytest.raises(HandshakeError, match="too late"):
            await gate.run(fails)
    assert await gate.run(at_once) == "done"


async def test_places_that_free_are_taken_at_once_and_in_order(
    autojump_clock: MockClock,
) -> None:
    gate = HandshakeGate(2, strangers=True)
    took: list[tuple[int, float]] = []

    async def handshake(number: int) -> None:
        took.append((number, trio.current_time() - began))
        await trio.sleep(0.5 + number / 8)

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(gate.run, partial(handshake, number))
            await trio.testing.wait_all_tasks_blocked()
    # 0 until 0.5, 1 until 0.625, and so on.
    assert took == [(0, 0), (1, 0), (2, 0.5), (3, 0.625), (4, 1.25), (5, 1.5)]


async def test_a_newcomer_does_not_overtake_one_who_waits() -> None:
    gate = HandshakeGate(1, strangers=True)
    done = trio.Event()
    order: list[str] = []

    async def first() -> None:
        await done.wait()

    async def named(name: str) -> None:
        order.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate.run, first)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(gate.run, lambda: named("waited"))
        await trio.testing.wait_all_tasks_blocked()

        async def newcomer() -> None:
            await done.wait()
            await gate.run(lambda: named("newcomer"))

        nursery.start_soon(newcomer)
        await trio.testing.wait_all_tasks_blocked()
        done.set()
    assert order == ["waited", "newcomer"]


async def test_one_stalled_handshake_after_the_other_makes_room(
    autojump_clock: MockClock,
) -> None:
    gate = HandshakeGate(1, strangers=False)
    began = trio.current_time()
    ended: list[float] = []

    async def stalls() -> None:
        ended.append(await evicted(gate) - began)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(stalls)
            await trio.testing.wait_all_tasks_blocked()
        assert await gate.run(at_once) == "done"
    assert ended == [pytest.approx(each) for each in (4, 8, 12)]


async def test_nobody_is_disturbed_while_nobody_waits(
    autojump_clock: MockClock,
) -> None:
    gate = HandshakeGate(2, strangers=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate.run, lasting(9))
        nursery.start_soon(gate.run, lasting(9))


@pytest.mark.parametrize("newcomer_at", [0.0, 0.4, 1.0, 7.0])
async def test_a_stalled_handshake_gives_up_its_place_after_a_second(
    autojump_clock: MockClock, newcomer_at: float
) -> None:
    gate = HandshakeGate(1, strangers=True)
    began = trio.current_time()
    ended: list[float] = []

    async def stalls() -> None:
        ended.append(await evicted(gate) - began)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stalls)
        await trio.sleep(newcomer_at)
        await trio.testing.wait_all_tasks_blocked()
        assert await gate.run(at_once) == "done"
    assert ended == [pytest.approx(max(newcomer_at, 1.0))]


async def test_only_as_many_give_up_their_place_as_are_waiting(
    autojump_clock: MockClock,
) -> None:
    gate = HandshakeGate(5, strangers=True)
    outcomes: list[str] = []

    async def slow(number: int) -> None:
        try:
            await gate.run(lasting(9))
        except HandshakeError:
            outcomes.append(f"{number} was evicted")
        else:
            outcomes.append(f"{number} finished")

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(slow, number)
            await trio.sleep(0.1)
        nursery.start_soon(gate.run, at_once)
        nursery.start_soon(gate.run, lasting(0.05))
    assert outcomes == [
        "0 was evicted",
        "1 finished",
        "2 finished",
        "3 finished",
        "4 finished",
    ]


async def test_one_who_stops_waiting_presses_nobody(autojump_clock: MockClock) -> None:
    gate = HandshakeGate(1, strangers=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate.run, lasting(3))
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.5) as impatient:
            await gate.run(at_once)
    assert impatient.cancelled_caught


async def test_a_cancelled_handshake_frees_its_place(
    autojump_clock: MockClock,
) -> None:
    gate = HandshakeGate(1, strangers=True)
    with trio.move_on_after(0.1) as scope:
        await gate.run(forever)
    assert scope.cancelled_caught
    assert await gate.run(at_once) == "done"


async def test_one_cancelled_in_the_line_takes_no_place_with_it(
    autojump_clock: MockClock,
) -> None:
    gate = HandshakeGate(1, strangers=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate.run, lasting(0.5))
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.1):
            await gate.run(forever)
        assert await gate.run(at_once) == "done"
        assert trio.current_time() >= 0.5


async def test_a_deadline_of_the_caller_is_not_taken_for_a_stall(
    autojump_clock: MockClock,
) -> None:
    """Its own deadline and the pressure of others at the same moment."""
    gate = HandshakeGate(1, strangers=True)

    async def impatient() -> None:
        with trio.move_on_after(1) as scope:
            await gate.run(forever)
        assert scope.cancelled_caught

    async with trio.open_nursery() as nursery:
        nursery.start_soon(impatient)
        await trio.testing.wait_all_tasks_blocked()
        assert await gate.run(at_once) == "done"


async def test_ten_thousand_that_stall_cannot_keep_out_an_honest_one(
    autojump_clock: MockClock,
) -> None:
    """It comes last, and is through before its own deadline would pass."""
    gate = HandshakeGate(256, strangers=True)

    async def stalls() -> None:
        with trio.move_on_after(10), pytest.raises(HandshakeError):
            await gate.run(forever)

    async with trio.open_nursery() as nursery:
        for _ in range(10_000):
            nursery.start_soon(stalls)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(9.5):
            await gate.run(lasting(0.02))
        nursery.cancel_scope.cancel()


async def test_those_that_stall_and_come_again_cannot_keep_out_an_honest_one(
    autojump_clock: MockClock,
) -> None:
    gate = HandshakeGate(16, strangers=True)

    async def comes_again() -> None:
        while True:
            with pytest.raises(HandshakeError):
                await gate.run(forever)

    async with trio.open_nursery() as nursery:
        for _ in range(300):
            nursery.start_soon(comes_again)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            with trio.fail_after(9.5):
                await gate.run(lasting(0.02))
        nursery.cancel_scope.cancel()


async def test_a_long_line_of_our_own_leaves_each_its_four_seconds(
    autojump_clock: MockClock,
) -> None:
    """They are all the application's: a slow server is no attack.

    It may have a line of its own, which then is through in about two seconds.
    """
    gate = HandshakeGate(2, strangers=False)
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(gate.run, lasting(3.99))


visitors = st.tuples(
    st.floats(0, 3),  # comes
    st.floats(0, 4),  # takes
    st.none() | st.floats(0, 3),  # its caller's patience
    st.booleans(),  # fails
)


@given(limit=st.integers(1, 4), crowd=st.lists(visitors, max_size=25))
def test_there_are_never_more_than_the_limit_and_no_place_is_lost(
    limit: int, crowd: list[tuple[float, float, float | None, bool]]
) -> None:
    running, most = 0, 0

    async def handshake(seconds: float, *, fails: bool) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await trio.sleep(seconds)
        finally:
            running -= 1
        if fails:
            raise HandshakeError(Reason.EXPIRED, "fails")

    async def visit(
        gate: HandshakeGate,
        visitor: tuple[float, float, float | None, bool],
    ) -> None:
        comes, takes, patience, fails = visitor
        await trio.sleep(comes)
        with trio.move_on_after(float("inf") if patience is None else patience):
            try:
                await gate.run(lambda: handshake(takes, fails=fails))
            except HandshakeError:
                return

    async def day() -> None:
        gate = HandshakeGate(limit, strangers=True)
        async with trio.open_nursery() as nursery:
            for visitor in crowd:
                nursery.start_soon(visit, gate, visitor)
        with trio.fail_after(0):
            async with trio.open_nursery() as nursery:
                for _ in range(limit):
                    nursery.start_soon(gate.run, at_once)

    trio.run(  # noqa: TID251 - hypothesis calls no async function
        day, clock=trio.testing.MockClock(autojump_threshold=0)
    )
    assert most <= limit
