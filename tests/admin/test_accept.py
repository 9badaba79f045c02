from __future__ import annotations

import errno
import socket
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from sidecar.admin.accept import Leaving, serve, stream_listener
from sidecar.admin.http import HttpLimits
from sidecar.admin.messages import Request, Response, text
from tests.admin.talking import GET, Stream, answers, echo, read_all

if TYPE_CHECKING:
    from trio.testing import MockClock

TWO = HttpLimits(connections=2)
THREE = HttpLimits(connections=3)


class MemoryListener(trio.abc.Listener[Stream]):
    """Accepts streams in memory, after the errors that it is told to raise."""

    def __init__(self, *errors: OSError) -> None:
        self._errors = list(errors)
        self._send, self._receive = trio.open_memory_channel[Stream](100)
        self.accepted = 0

    def connect(self) -> Stream:
        client, server = trio.testing.memory_stream_pair()
        self._send.send_nowait(server)
        return client

    async def accept(self) -> Stream:
        if self._errors:
            await trio.lowlevel.checkpoint()
            raise self._errors.pop(0)
        stream = await self._receive.receive()
        self.accepted += 1
        return stream

    async def aclose(self) -> None:
        raise AssertionError("the listener is the caller's to close")


class Gate:
    """A handler that answers when it is told to."""

    def __init__(self) -> None:
        self.open = trio.Event()

    async def __call__(self, _request: Request) -> Response:
        await self.open.wait()
        return text("at last")


async def get(client: Stream) -> bytes:
    """Ask, and read until the server closes."""
    await client.send_all(GET)
    await client.send_eof()
    return await read_all(client)


async def one_that_asks(listener: MemoryListener) -> Stream:
    client = listener.connect()
    await client.send_all(GET)
    await trio.testing.wait_all_tasks_blocked()
    return client


async def read_until(client: Stream, end: bytes) -> bytes:
    raw = b""
    while not raw.endswith(end) and (piece := await client.receive_some()):
        raw += piece
    return raw


async def test_a_connection_past_the_limit_waits_its_turn(
    autojump_clock: MockClock,
) -> None:
    listener, gate = MemoryListener(), Gate()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, [listener], gate, TWO)
        clients = [await one_that_asks(listener) for _ in range(3)]
        assert listener.accepted == 2
        gate.open.set()
        for client in clients:
            (answer,) = answers(await read_until(client, b"at last\n"))
            assert answer.body == b"at last\n"
        nursery.cancel_scope.cancel()


async def test_those_who_send_nothing_make_room_the_oldest_first() -> None:
    listener = MemoryListener()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, [listener], echo, THREE)
        silent = []
        for _ in range(10):
            silent.append(listener.connect())
            await trio.testing.wait_all_tasks_blocked()
        (answer,) = answers(await get(listener.connect()))
        assert answer.status == 200
        for client in silent[:8]:
            assert await read_all(client) == b""
        nursery.cancel_scope.cancel()
    assert listener.accepted == 11


async def test_slow_requests_make_room_as_well(autojump_clock: MockClock) -> None:
    listener = MemoryListener()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, [listener], echo, TWO)
        for _ in range(10):
            await listener.connect().send_all(GET[:10])
        (answer,) = answers(await get(listener.connect()))
        assert answer.status == 200
        assert trio.current_time() < 1
        nursery.cancel_scope.cancel()


async def test_a_request_that_is_being_answered_is_never_cut_off() -> None:
    listener, gate = MemoryListener(), Gate()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, [listener], gate, THREE)
        busy = await one_that_asks(listener)
        for _ in range(10):
            listener.connect()
        await trio.testing.wait_all_tasks_blocked()
        gate.open.set()
        assert answers(await read_until(busy, b"at last\n"))[0].status == 200
        nursery.cancel_scope.cancel()


async def test_a_full_server_keeps_nobody() -> None:
    listener, gate = MemoryListener(), Gate()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, [listener], gate, TWO)
        clients = [await one_that_asks(listener) for _ in range(2)]
        gate.open.set()
        read = [answers(await read_until(each, b"last\n"))[0] for each in clients]
        assert any(answer.headers.get("connection") == "close" for answer in read)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("number", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])
async def test_a_shortage_is_waited_out(autojump_clock: MockClock, number: str) -> None:
    shortage = OSError(getattr(errno, number), "none left")
    listener = MemoryListener(*[shortage] * 10)
    client = listener.connect()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, [listener], echo)
        assert answers(await get(client))[0].status == 200
        nursery.cancel_scope.cancel()
    pauses = [0.005 * 2**n for n in range(8)] + [1, 1]
    assert trio.current_time() == pytest.approx(sum(pauses))


async def test_a_broken_listener_is_no_secret() -> None:
    listener = MemoryListener(OSError(errno.EINVAL, "not listening"))
    with pytest.RaisesGroup(OSError, flatten_subgroups=True):
        await serve([listener], echo)


async def test_sockets_are_served_until_cancelled() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        listener = stream_listener(sock)
        address = sock.getsockname()
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, [listener], echo)
            with trio.socket.socket() as client:
                await client.connect(address)
                stream = trio.SocketStream(client)
                assert answers(await get(stream))[0].body == b"GET / \n"
            nursery.cancel_scope.cancel()
        assert sock.fileno() >= 0


async def test_a_refusal_reaches_a_client_that_is_still_sending() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, [stream_listener(sock)], echo)
            with trio.socket.socket() as client:
                await client.connect(sock.getsockname())
                stream = trio.SocketStream(client)
                head = GET[:-2] + b"Content-Length: 150000\r\n\r\n"
                await stream.send_all(head + b"x" * 150_000)
                await stream.send_eof()
                assert answers(await read_all(stream))[0].status == 413
            nursery.cancel_scope.cancel()


async def test_told_to_leave_it_has_clients_go_with_their_next_answer(
    autojump_clock: MockClock,
) -> None:
    listener, leaving = MemoryListener(), Leaving()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, leaving=leaving), [listener], echo)
        client = listener.connect()
        await client.send_all(GET)
        first = await read_until(client, b"GET / \n")
        leaving.last_answers = True
        await client.send_all(GET)
        second = await read_all(client)
        assert "connection" not in answers(first)[0].headers
        assert answers(second)[0].headers["connection"] == "close"
        leaving.accept_no_more.set()


async def test_told_to_accept_no_more_it_ends_when_all_is_answered() -> None:
    listener, gate, leaving = MemoryListener(), Gate(), Leaving()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, leaving=leaving), [listener], gate)
        asking = await one_that_asks(listener)
        silent, begun = listener.connect(), listener.connect()
        await begun.send_all(GET[:9])
        await trio.testing.wait_all_tasks_blocked()
        leaving.accept_no_more.set()
        assert await read_all(silent) == b""
        late = listener.connect()
        await trio.testing.wait_all_tasks_blocked()
        assert listener.accepted == 3
        gate.open.set()
        for client in (asking, begun):
            await client.send_all(GET[9:] if client is begun else b"")
            await client.send_eof()
            assert answers(await read_all(client))[0].body == b"at last\n"
        await late.aclose()
