from __future__ import annotations

import pytest
import trio
import trio.testing

from sidecar.proxy.places import Places


async def test_places_are_taken_until_there_is_none() -> None:
    places = Places(2)
    places.acquire_nowait()
    await places.acquire()
    assert places.value == 0
    with pytest.raises(trio.WouldBlock):
        places.acquire_nowait()
    places.release()
    assert places.value == 1
    places.acquire_nowait()


async def test_who_waits_is_served_in_turn() -> None:
    places, served = Places(1), list[int]()

    async def take(number: int) -> None:
        await places.acquire()
        served.append(number)

    places.acquire_nowait()
    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(take, number)
            await trio.testing.wait_all_tasks_blocked()
        for number in range(3):
            places.release()
            with pytest.raises(trio.WouldBlock):
                places.acquire_nowait()  # it is promised to who waits
            await trio.testing.wait_all_tasks_blocked()
            assert served == list(range(number + 1))
    places.release()
    assert places.value == 1


async def test_who_gives_up_waiting_takes_no_place() -> None:
    places = Places(1)
    places.acquire_nowait()
    with trio.CancelScope() as scope:
        scope.cancel()
        await places.acquire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(places.acquire)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    places.release()
    assert places.value == 1


async def test_more_places_are_for_those_who_wait_first() -> None:
    places = Places(1)
    places.acquire_nowait()
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(places.acquire)
        await trio.testing.wait_all_tasks_blocked()
        places.resize(4)
        assert places.value == 1
    for _ in range(3):
        places.release()
    assert places.value == 4


async def test_fewer_places_turn_nobody_out() -> None:
    places = Places(3)
    for _ in range(3):
        places.acquire_nowait()
    places.resize(1)
    assert places.value == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(places.acquire)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            places.release()
            await trio.testing.wait_all_tasks_blocked()
            assert nursery.child_tasks  # there are as many as there may be
        places.release()
    places.release()
    assert places.value == 1


async def test_the_limit_may_go_back_before_it_was_reached() -> None:
    places = Places(2)
    for _ in range(2):
        places.acquire_nowait()
    places.resize(1)
    places.resize(3)
    assert places.value == 1
    for _ in range(2):
        places.release()
    assert places.value == 3
