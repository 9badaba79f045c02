"""What is seen of endpoints of every kind."""

from __future__ import annotations

import socket
import struct
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio
from OpenSSL import SSL

from sidecar.certs.authority import Authority
from sidecar.certs.cases.world import Presented
from sidecar.certs.observation import End, Observation
from sidecar.certs.probe import Target, probe
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.tls.stream import TlsStream
from tests.support.pki import now
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[trio.SocketStream], Awaitable[None]]

AUTHORITY = Authority.create("example.org", now=now())
SVID = AUTHORITY.issue(SpiffeId.parse("spiffe://example.org/a"), now=now())
SHOWN = Presented(SVID.chain, SVID.private_key)


def server_side(
    stream: trio.SocketStream, *, accept: bool = True, maximum: int = SSL.TLS1_3_VERSION
) -> TlsStream:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_max_proto_version(maximum)
    context.use_certificate(SVID.leaf)
    context.use_privatekey(SVID.private_key)
    demand = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
    context.set_verify(demand, lambda *_: accept)
    connection = SSL.Connection(context, None)
    connection.set_accept_state()
    return TlsStream(stream, connection)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await handler(stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(
            partial(trio.serve_tcp, handle, 0, host="127.0.0.1")
        )
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def seen_of(handler: Handler, **options: Any) -> Observation:
    options = {"timeout": 10, "settle": 0.1, **options}
    async with serving(handler) as port:
        target = Target(addresses=("127.0.0.1",), port=port, **options)
        return await probe(target, SHOWN)


def saying(words: bytes) -> Handler:
    async def handle(stream: trio.SocketStream) -> None:
        tls = server_side(stream)
        await tls.do_handshake()
        await tls.send_all(words)
        await trio.sleep_forever()

    return handle


async def silent(stream: trio.SocketStream) -> None:
    await server_side(stream).do_handshake()
    await trio.sleep_forever()


async def ending(stream: trio.SocketStream) -> None:
    tls = server_side(stream)
    await tls.do_handshake()
    await tls.aclose()


async def vanishing(stream: trio.SocketStream) -> None:
    await server_side(stream).do_handshake()


async def resetting(stream: trio.SocketStream) -> None:
    await server_side(stream).do_handshake()
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def deaf(_: trio.SocketStream) -> None:
    await trio.sleep_forever()


def refusing(version: int) -> Handler:
    async def handle(stream: trio.SocketStream) -> None:
        tls = server_side(stream, accept=False, maximum=version)
        with pytest.raises(trio.BrokenResourceError):
            await tls.do_handshake()
        await stream.send_eof()
        while await stream.receive_some():
            pass

    return handle


async def test_the_first_words_are_an_answer() -> None:
    seen = await seen_of(saying(b"hello"))
    assert seen == Observation(End.ANSWERED, "", "TLSv1.3")


async def test_what_is_expected_is_waited_for() -> None:
    async def handle(stream: trio.SocketStream) -> None:
        tls = server_side(stream)
        assert await tls.receive_some() == b"how?"
        for word in (b"some", b"thing ", b"else"):
            await tls.send_all(word)
        await tls.aclose()

    asked = {"send": b"how?"}
    assert (await seen_of(handle, **asked, expect=b"thing else")).end is End.ANSWERED
    assert (await seen_of(handle, **asked, expect=b"nothing")).end is End.OTHER_ANSWER


async def test_an_answer_without_an_end_is_bounded() -> None:
    async def handle(stream: trio.SocketStream) -> None:
        tls = server_side(stream)
        with suppress(trio.BrokenResourceError):
            while True:
                await tls.send_all(bytes(65536))

    assert (await seen_of(handle, expect=b"never")).end is End.OTHER_ANSWER


async def test_silence_is_an_open_connection() -> None:
    assert await seen_of(silent) == Observation(End.OPEN, "", "TLSv1.3")


async def test_who_asks_waits_as_long_as_a_connection_may_last() -> None:
    seen = await seen_of(silent, send=b"how?", timeout=0.3)
    assert seen == Observation(End.OPEN, "", "TLSv1.3")


@pytest.mark.parametrize("handler", [ending, vanishing])
async def test_an_end_without_an_alert_is_a_close(handler: Handler) -> None:
    assert await seen_of(handler, settle=5) == Observation(End.CLOSED, "", "TLSv1.3")


async def test_a_reset_is_one() -> None:
    assert (await seen_of(resetting, settle=5)).end is End.RESET


@pytest.mark.parametrize("send", [b"", b"words that nobody reads"])
@pytest.mark.parametrize(
    ("version", "shown"), [(SSL.TLS1_3_VERSION, "TLSv1.3"), (SSL.TLS1_2_VERSION, "")]
)
async def test_an_alert_is_read_even_after_the_handshake(
    version: int, shown: str, send: bytes
) -> None:
    seen = await seen_of(refusing(version), settle=5, send=send)
    assert seen.end is End.ALERT
    assert seen.detail in {"unknown_ca", "bad_certificate", "internal_error"}
    assert seen.tls == shown


async def test_no_handshake_in_time_is_a_timeout() -> None:
    assert await seen_of(deaf, timeout=0.2) == Observation(End.TIMEOUT)


async def test_what_is_no_tls_is_a_failure() -> None:
    async def handle(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 welcome to the mail\r\n")
        await trio.sleep_forever()

    seen = await seen_of(handle)
    assert seen.end is End.FAILED
    assert "wrong version number" in seen.detail


async def test_nobody_there_is_a_failure() -> None:
    target = Target(addresses=("127.0.0.1",), port=free_port())
    assert await probe(target, SHOWN) == Observation(
        End.UNREACHABLE, "connection refused"
    )


async def test_the_server_name_is_asked_for() -> None:
    asked: list[bytes | None] = []

    async def handle(stream: trio.SocketStream) -> None:
        tls = server_side(stream)
        await tls.do_handshake()
        asked.append(tls._tls.get_servername())
        await trio.sleep_forever()

    await seen_of(handle)
    await seen_of(handle, server_name="api.shop.svc")
    assert asked == [None, b"api.shop.svc"]
