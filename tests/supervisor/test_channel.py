from __future__ import annotations

import socket
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from sidecar.supervisor.channel import Channel
from sidecar.supervisor.frames import FrameError


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0.02)


@pytest.fixture
async def pair() -> Any:
    ours, theirs = map(Channel, socket.socketpair())
    yield ours, theirs
    ours.close()
    theirs.close()


Pair = tuple[Channel, Channel]


async def test_what_one_side_sends_the_other_receives(pair: Pair) -> None:
    ours, theirs = pair
    for message in ({"a": 1}, {"b": [None]}):
        await ours.send(message)
    assert [await theirs.receive(), await theirs.receive()] == [{"a": 1}, {"b": [None]}]
    await theirs.send({})
    assert await ours.receive() == {}


async def test_frames_of_several_tasks_stay_whole(pair: Pair) -> None:
    ours, theirs = pair
    messages = [{"n": n, "text": "x" * 300_000} for n in range(5)]
    async with trio.open_nursery() as nursery:
        for message in messages:
            nursery.start_soon(ours.send, message)
        found = [await theirs.receive() for _ in messages]
    assert {each["n"] for each in found if each} == set(range(5))


async def test_the_end_of_the_other_side_is_none(pair: Pair) -> None:
    ours, theirs = pair
    await ours.send({"last": "words"})
    ours.close()
    assert await theirs.receive() == {"last": "words"}
    assert await theirs.receive() is None
    with pytest.raises(trio.BrokenResourceError):
        await theirs.send({})


async def test_a_side_that_dies_with_words_unread_is_none_as_well() -> None:
    theirs, sock = socket.socketpair()
    channel = Channel(sock)
    await channel.send({})
    theirs.close()  # a reset, as nobody has read it
    assert await channel.receive() is None
    channel.close()


async def test_what_is_no_frame_is_told(pair: Pair) -> None:
    theirs, sock = socket.socketpair()
    with theirs:
        channel = Channel(sock)
        theirs.sendall(b"\0\0\0\2[]")
        with pytest.raises(FrameError):
            await channel.receive()
        channel.close()


async def test_a_frame_that_is_begun_is_brought_to_its_end(pair: Pair) -> None:
    ours, theirs = pair
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.send, {"text": "x" * 1_000_000})
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            assert await theirs.receive() is not None
            await theirs.send({})
            assert await ours.receive() == {}


async def test_a_side_that_takes_nothing_is_given_up(
    pair: Pair, clock: MockClock
) -> None:
    ours, theirs = pair
    with pytest.raises(trio.BrokenResourceError, match="takes nothing"):
        await ours.send({"text": "x" * 1_000_000})
    with pytest.raises(trio.ClosedResourceError):
        await ours.send({})
    while await theirs.receive() is not None:
        pass
