from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import grpc
import pytest
import trio

from sidecar.workload.stream import Ended, listen
from tests.support.agent import Agent, response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio.testing import MockClock


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with Agent(tmp_path / "agent.sock", response(crl=[b"first"])) as agent:
        yield agent


async def test_messages_come_one_by_one_until_the_stream_ends(agent: Agent) -> None:
    got: list[bytes] = []

    async def take(message: bytes) -> None:
        got.append(message)
        if len(got) == 1:
            agent.send(response(crl=[b"second"]))
        else:
            agent.drop()

    with trio.fail_after(10):
        ended = await listen(agent.address, take)
    assert ended == Ended("OK", "the agent ended the stream")
    assert [b"first" in got[0], b"second" in got[1]] == [True, True]


async def never(_message: bytes) -> None:
    raise AssertionError("there was no message to take")


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "INVALID_ARGUMENT"])
async def test_a_refusal_has_its_status_and_words(agent: Agent, code: str) -> None:
    agent.current = grpc.StatusCode[code]
    with trio.fail_after(10):
        ended = await listen(agent.address, never)
    assert ended.code == code
    assert str(ended) == f"{code}: the test says {code.lower()}"


async def test_an_agent_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with trio.fail_after(10):
        ended = await listen(f"unix://{tmp_path}/none.sock", never)
    assert ended.code == "UNAVAILABLE"
    assert "No such file" in str(ended)


async def test_an_agent_that_says_nothing_is_given_up(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        ended = await listen(f"unix://{path}", never)
    assert ended == Ended("DEADLINE_EXCEEDED", "no answer in 90 seconds")


async def test_cancelled_it_leaves_no_thread_that_waits(agent: Agent) -> None:
    came = trio.Event()

    async def take(_message: bytes) -> None:
        came.set()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, agent.address, take)
            await came.wait()
            nursery.cancel_scope.cancel()
        while agent.streams or waiting():  # noqa: ASYNC110 - nothing else says so
            await trio.sleep(0.01)


def waiting() -> list[str]:
    """Threads of trio that do something: idle ones have no such name."""
    names = [each.name for each in threading.enumerate()]
    return [name for name in names if "_wait" in name]


async def test_a_message_of_megabytes_is_taken(agent: Agent) -> None:
    agent.current = response(crl=[bytes(8_000_000)])

    async def take(message: bytes) -> None:
        assert len(message) > 8_000_000
        agent.drop()

    with trio.fail_after(20):
        assert (await listen(agent.address, take)).code == "OK"


def test_an_end_without_words_is_its_code() -> None:
    assert str(Ended("UNAVAILABLE")) == "UNAVAILABLE"
