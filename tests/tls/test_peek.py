from __future__ import annotations

import socket
from typing import TYPE_CHECKING, TypeAlias

import pytest
import trio
import trio.testing
from OpenSSL import SSL

from sidecar.net.sockopt import reset
from sidecar.tls.client_hello import LIMIT, ClientHello, NotTls
from sidecar.tls.peek import client_hello, has_left, receive
from tests.net import sockets
from tests.tls.peers import client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock

Pair: TypeAlias = tuple[socket.socket, socket.socket]

MESH = b"sidecar-mtls/1"


def _hello() -> bytes:
    connection = client(alpn=[MESH])
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(LIMIT)


HELLO = _hello()


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Who looks, and who is looked at."""
    with sockets.pair() as ends:
        yield ends


async def test_one_that_has_ended_has_left(pair: Pair) -> None:
    ours, theirs = pair
    ours.setblocking(False)
    assert not has_left(ours)
    theirs.send(b"a")
    await trio.lowlevel.wait_readable(ours)
    theirs.shutdown(socket.SHUT_WR)
    assert not has_left(ours)  # as far as anybody can see
    assert ours.recv(9) == b"a"
    await trio.lowlevel.wait_readable(ours)
    assert has_left(ours)
    assert ours.recv(9) == b""


async def test_a_hello_is_read_and_every_byte_kept(pair: Pair) -> None:
    ours, theirs = pair
    sent = HELLO + b"\x17\3\3\0\5early"
    theirs.send(sent)
    assert await client_hello(ours, 5) == (ClientHello((MESH,)), sent)


async def test_a_hello_that_comes_byte_by_byte_is_read(pair: Pair) -> None:
    ours, theirs = pair
    found: list[object] = []

    async def look() -> None:
        found.append(await client_hello(ours, 5))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        for at in range(len(HELLO)):
            theirs.send(HELLO[at : at + 1])
            await trio.lowlevel.checkpoint()
    assert found == [(ClientHello((MESH,)), HELLO)]


async def test_the_first_byte_of_plaintext_ends_it(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"G")
    assert await client_hello(ours, 5) == (NotTls(), b"G")


@pytest.mark.parametrize("size", [0, 1, 5, 100])
async def test_one_who_falls_silent_speaks_no_tls(
    pair: Pair, size: int, autojump_clock: MockClock
) -> None:
    ours, theirs = pair
    theirs.send(HELLO[:size])
    assert await client_hello(ours, 5) == (NotTls(), HELLO[:size])


async def test_silence_lasts_as_long_as_it_may(
    pair: Pair, autojump_clock: MockClock
) -> None:
    ours, _ = pair
    began = autojump_clock.current_time()
    await client_hello(ours, 5)
    assert autojump_clock.current_time() - began == 5


async def test_a_byte_a_second_does_not_buy_more_time(
    pair: Pair, autojump_clock: MockClock
) -> None:
    ours, theirs = pair

    async def trickle() -> None:
        for at in range(len(HELLO)):
            await trio.sleep(1)
            theirs.send(HELLO[at : at + 1])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trickle)
        found = await client_hello(ours, 4.5)
        nursery.cancel_scope.cancel()
    assert found == (NotTls(), HELLO[:4])


@pytest.mark.parametrize("size", [0, 1, 5, 100])
async def test_one_who_ends_speaks_no_tls(pair: Pair, size: int) -> None:
    ours, theirs = pair
    theirs.send(HELLO[:size])
    theirs.shutdown(socket.SHUT_WR)
    assert await client_hello(ours, 5) == (NotTls(), HELLO[:size])


async def test_a_reset_is_an_error() -> None:
    with sockets.tcp_pair() as (ours, theirs):
        reset(theirs)
        with pytest.raises(ConnectionResetError):
            await client_hello(ours, 5)


async def test_bytes_for_ever_end_at_the_limit(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"\x16\3\1\x40\0\1\0\x3f\xff" + bytes(2 * LIMIT))
    found, seen = await client_hello(ours, 5)
    assert found == NotTls()
    assert LIMIT <= len(seen) < 2 * LIMIT


async def test_cancelled_it_has_taken_nothing(
    pair: Pair, autojump_clock: MockClock
) -> None:
    ours, theirs = pair
    with trio.move_on_after(1) as scope:
        await client_hello(ours, 5)
    assert scope.cancelled_caught
    theirs.send(b"later")
    assert await receive(ours) == b"later"


async def test_bytes_that_were_announced_in_vain_are_waited_for(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(b"once")
    with _Hasty(fileno=ours.detach()) as raced:
        assert await receive(raced) == b"once"


class _Hasty(socket.socket):
    """A socket that is said to be readable before it is."""

    early = True

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        if self.early:
            self.early = False
            raise BlockingIOError
        return super().recv(bufsize, flags)
