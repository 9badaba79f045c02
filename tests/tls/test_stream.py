from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st
from OpenSSL import SSL

from sidecar.certs.authority import Authority
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.tls.stream import TlsListener, TlsStream, client_stream
from sidecar.tls.web import unverified_client_context, web_server_context

if TYPE_CHECKING:
    from collections.abc import Callable

Pair = tuple[TlsStream, TlsStream]
Wire = tuple[trio.abc.HalfCloseableStream, trio.abc.HalfCloseableStream]

NOW = dt.datetime.now(dt.UTC)
AUTHORITY = Authority.create("example.org", now=NOW)
SVID = AUTHORITY.issue(SpiffeId.parse("spiffe://example.org/web"), now=NOW)


def server_context() -> SSL.Context:
    return web_server_context(SVID.chain, SVID.private_key)


def pair_over(wire: Wire, version: int = SSL.TLS1_3_VERSION) -> Pair:
    ours, theirs = wire
    context = unverified_client_context()
    context.set_max_proto_version(version)
    connection = SSL.Connection(server_context(), None)
    connection.set_accept_state()
    server = TlsStream(theirs, connection)
    return client_stream(ours, context, None), server


def in_memory() -> Wire:
    return trio.testing.memory_stream_pair()


def in_lockstep() -> Wire:
    return trio.testing.lockstep_stream_pair()


async def established(
    wire: Callable[[], Wire], version: int = SSL.TLS1_3_VERSION
) -> Pair:
    client, server = pair_over(wire(), version)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        nursery.start_soon(server.do_handshake)
    return client, server


@pytest.mark.parametrize("swapped", [False, True], ids=["client", "server"])
@pytest.mark.parametrize("shaken", [False, True], ids=["at once", "before"])
async def test_it_is_a_stream_as_trio_wants_them(
    *, swapped: bool, shaken: bool
) -> None:
    def in_order(pair: Pair) -> Pair:
        return pair[::-1] if swapped else pair

    async def maker() -> Pair:
        pair = await established(in_memory) if shaken else pair_over(in_memory())
        return in_order(pair)

    async def clogged() -> Pair:
        # In TLS 1.3 a server has more to say than a wire takes that holds nothing:
        # session tickets, though the client reads no more (python-trio/trio#819).
        return in_order(await established(in_lockstep, SSL.TLS1_2_VERSION))

    await trio.testing.check_half_closeable_stream(maker, clogged if shaken else None)


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
async def test_a_megabyte_goes_both_ways_at_once(version: int) -> None:
    ours, theirs = in_memory()
    accepted = SSL.Connection(server_context(), None)
    accepted.set_accept_state()
    server = TlsStream(theirs, accepted)
    context = unverified_client_context()
    context.set_max_proto_version(version)
    client = client_stream(ours, context, "web.example.org")
    there, back = b"there" * 200_000, b"back" * 250_000
    received: dict[str, bytes] = {}

    async def send(stream: TlsStream, data: bytes) -> None:
        await stream.send_all(data)
        await stream.send_eof()

    async def receive(stream: TlsStream, who: str) -> None:
        received[who] = b"".join([bytes(part) async for part in stream])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, client, there)
        nursery.start_soon(send, server, back)
        nursery.start_soon(receive, server, "server")
        nursery.start_soon(receive, client, "client")
    assert received == {"server": there, "client": back}


async def test_an_end_without_a_goodbye_is_no_end() -> None:
    wire = in_memory()
    client, server = pair_over(wire)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, b"half of")
        assert await server.receive_some() == b"half of"
    await wire[0].aclose()
    with pytest.raises(trio.BrokenResourceError):
        await server.receive_some()


async def test_what_is_wrong_after_the_handshake_is_answered_by_an_alert() -> None:
    wire = in_memory()
    client, server = pair_over(wire)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        nursery.start_soon(server.do_handshake)
    await wire[0].send_all(b"\x17\3\3\0\x20" + bytes(32))
    with pytest.raises(trio.BrokenResourceError, match="bad record mac"):
        await server.receive_some()
    await server.aclose()
    with pytest.raises(trio.BrokenResourceError, match="alert bad record mac"):
        await client.receive_some()


async def test_a_client_that_speaks_no_tls_is_refused_for_that() -> None:
    ours, theirs = in_memory()
    _, server = pair_over((ours, theirs))
    await ours.send_all(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(trio.BrokenResourceError, match="http request"):
        await server.receive_some()


async def test_a_client_without_the_certificate_that_is_asked_for_is_refused() -> None:
    ours, theirs = in_memory()
    context = web_server_context(SVID.chain, SVID.private_key, [AUTHORITY.root])
    connection = SSL.Connection(context, None)
    connection.set_accept_state()
    server = TlsStream(theirs, connection)
    client = client_stream(ours, unverified_client_context(), None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        with pytest.raises(trio.BrokenResourceError, match="certificate"):
            await server.do_handshake()


async def test_closing_is_not_held_up_by_a_peer_that_reads_nothing() -> None:
    client, server = await established(in_lockstep, SSL.TLS1_2_VERSION)
    with trio.move_on_after(10) as patience:
        await trio.aclose_forcefully(server)
    assert not patience.cancelled_caught
    with pytest.raises(trio.BrokenResourceError):
        await client.receive_some()


async def test_a_listener_gives_streams_and_takes_its_context_anew_for_each() -> None:
    contexts = [server_context(), server_context()]
    listener = TlsListener(
        (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0], contexts.pop
    )
    inner = listener._listener
    assert isinstance(inner, trio.SocketListener)
    address = inner.socket.getsockname()
    for _ in range(2):
        with trio.socket.socket() as sock:
            await sock.connect(address)
            client = client_stream(
                trio.SocketStream(sock), unverified_client_context(), None
            )
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send_all, b"hello")
                async with await listener.accept() as server:
                    assert await server.receive_some() == b"hello"
    assert contexts == []
    await listener.aclose()


@given(data=st.binary(max_size=300), tls=st.booleans())
def test_whatever_a_client_sends_ends_in_the_one_error(
    data: bytes, *, tls: bool
) -> None:
    async def attempt() -> None:
        ours, theirs = in_memory()
        _, server = pair_over((ours, theirs))
        # As a record of the handshake, it gets further.
        head = b"\x16\x03\x01" + len(data).to_bytes(2, "big") if tls else b""
        await ours.send_all(head + data)
        await ours.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await server.receive_some()

    trio.run(attempt)  # noqa: TID251 - hypothesis calls plain functions
