from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
import trio
import trio.testing
from attrs import define, field

from sidecar.workload.source import Source
from tests.support.agent import Agent, response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with Agent(tmp_path / "agent.sock", response(crl=[b"first"])) as agent:
        yield agent


@define
class Listener:
    """Notes what it hears."""

    heard: list[str] = field(factory=list)
    news: trio.Event = field(factory=trio.Event)

    async def receive(self, message: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self._note(f"received {message[2:].decode()}")

    def withdraw(self, why: str) -> None:
        self._note(f"withdraw {why}")

    def lost(self, why: str) -> None:
        self._note(f"lost {why}")

    def found(self) -> None:
        self._note("found")

    def _note(self, what: str) -> None:
        self.heard.append(what)
        self.news.set()

    async def until(self, count: int) -> list[str]:
        with trio.fail_after(20):
            while len(self.heard) < count:
                await self.news.wait()
                self.news = trio.Event()
        return self.heard


@define
class Following:
    listener: Listener
    source: Source
    nursery: trio.Nursery


@pytest.fixture
def following(agent: Agent, nursery: trio.Nursery) -> Following:
    listener = Listener()
    source = Source(listener.receive, listener, agent.address)
    return Following(listener, source, nursery)


def start(following: Following) -> Listener:
    following.nursery.start_soon(following.source.run)
    return following.listener


async def test_every_message_is_handed_on(agent: Agent, following: Following) -> None:
    listener = start(following)
    await listener.until(2)
    agent.send(response(crl=[b"second"]))
    heard = await listener.until(4)
    assert heard == ["found", "received first", "found", "received second"]


@pytest.mark.parametrize(
    ("code", "said"), [("PERMISSION_DENIED", "withdraw"), ("UNAVAILABLE", "lost")]
)
async def test_who_is_refused_asks_again(
    agent: Agent, following: Following, code: str, said: str
) -> None:
    agent.current = grpc.StatusCode[code]
    listener = start(following)
    heard = await listener.until(2)
    why = f"{said} {agent.address}: {code}: the test says {code.lower()}"
    assert heard == [why, why]
    agent.current = response(crl=[b"at last"])
    heard = await listener.until(4)
    assert heard[-2:] == ["found", "received at last"]


async def test_a_stream_that_ends_is_opened_again(
    agent: Agent, following: Following
) -> None:
    listener = start(following)
    await listener.until(2)
    agent.drop()
    heard = await listener.until(5)
    assert heard[2:] == [
        f"lost {agent.address}: OK: the agent ended the stream",
        "found",
        "received first",
    ]


async def test_who_asked_wrongly_does_not_ask_again(
    agent: Agent, following: Following
) -> None:
    agent.current = grpc.StatusCode.INVALID_ARGUMENT
    listener = start(following)
    (heard,) = await listener.until(1)
    assert heard.startswith(f"lost {agent.address}: INVALID_ARGUMENT: ")
    assert heard.endswith("(it is not asked again before the next start)")
    agent.send(response(crl=[b"too late"]))
    await trio.testing.wait_all_tasks_blocked(1)
    assert (agent.asked, len(listener.heard)) == (1, 1)


async def test_it_follows_to_another_address(
    agent: Agent, following: Following, tmp_path: Path
) -> None:
    listener = start(following)
    await listener.until(2)
    with Agent(tmp_path / "other.sock", response(crl=[b"other"])) as other:
        following.source.follow(other.address)
        heard = await listener.until(4)
        assert heard[-1] == "received other"
        following.source.follow(other.address)  # which changes nothing
        following.source.follow(None)
        with trio.fail_after(10):
            while other.streams:  # noqa: ASYNC110 - nothing else says so
                await trio.sleep(0.01)
        other.send(response(crl=[b"nobody listens"]))
        following.source.follow(agent.address)
        heard = await listener.until(6)
    assert heard[-1] == "received first"
    assert "received nobody listens" not in heard


async def test_without_an_address_nobody_is_asked(nursery: trio.Nursery) -> None:
    listener = Listener()
    source = Source(listener.receive, listener, None)
    nursery.start_soon(source.run)
    await trio.testing.wait_all_tasks_blocked()
    assert listener.heard == []
