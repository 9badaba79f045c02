from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from sidecar.config.model import Tls as TlsSettings
from sidecar.proxy.missing_certificate import NoCertificate, answer_http
from sidecar.telemetry.labels import Reason
from sidecar.tls.credentials import Credentials
from sidecar.tls.handshake import TlsSession, handshake
from sidecar.tls.openssl_binding import take_error
from tests.support.mesh import Tls, Wire, client, material, svid

if TYPE_CHECKING:
    from trio.testing import MockClock

REQUEST = b"GET / HTTP/1.1\r\nHost: api\r\n\r\n"


def pair() -> tuple[socket.socket, Wire]:
    """Our end and the client's, over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    ours.setblocking(False)
    return ours, Wire(trio.socket.from_stdlib_socket(theirs))


async def shaken(ours: socket.socket, wire: Wire) -> tuple[TlsSession, Tls]:
    """Shake hands with a client that shows no certificate."""
    credentials = Credentials(material(svid("api")), TlsSettings())
    tls = client(wire, None)
    sessions: list[TlsSession] = []

    async def accept() -> None:
        connection, check = credentials.accept(certificate_required=False)
        sessions.append(await handshake(ours, connection, check))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        await tls.handshake()
    assert sessions[0].peer is None
    return sessions[0], tls


async def test_the_answer_is_a_complete_one_and_says_what_is_missing() -> None:
    ours, wire = pair()
    with ours, wire:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_http, ours, None)
            answer = await wire.receive_all()
            wire.end()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
    assert body.isascii()
    assert b"client certificate is required" in body


async def test_over_tls_it_comes_after_the_question_and_ends_in_order() -> None:
    ours, wire = pair()
    with ours, wire:
        session, tls = await shaken(ours, wire)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_http, ours, session)
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert tls.connection.pending() == 0
            await tls.send(REQUEST)
            assert b"client certificate is required" in await tls.receive_all()
            wire.end()


@pytest.mark.parametrize("last_words", [b"\x17\x03\x03\x00\x20" + b"\0" * 32, b"\xff"])
async def test_what_comes_instead_of_a_question_is_no_matter(last_words: bytes) -> None:
    ours, wire = pair()
    with ours, wire:
        session, _ = await shaken(ours, wire)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_http, ours, session)
            await wire.send(last_words)
            wire.end()
            await wire.was_reset_or_ended()
    # The queue of errors is every connection's: what is left in it would be taken
    # for a failure of the next one.
    assert take_error() == (0, "no reason given")


async def test_one_that_resets_is_no_error() -> None:
    for over_tls in (True, False):
        ours, wire = pair()
        with ours:
            session, _ = await shaken(ours, wire)
            wire.reset()
            await answer_http(ours, session if over_tls else None)


async def test_one_that_reads_nothing_is_not_waited_for(clock: MockClock) -> None:
    """Neither its question, nor room for the answer, nor its end."""
    for over_tls in (True, False):
        ours, wire = pair()
        with ours, wire:
            session, _ = await shaken(ours, wire)
            fill(ours)
            began = trio.current_time()
            await answer_http(ours, session if over_tls else None)
            assert trio.current_time() - began < 5


def fill(sock: socket.socket) -> None:
    """Leave no room: neither in the peer's receive buffer nor in our send buffer."""
    try:
        while True:
            sock.send(b"\0" * 65536)
    except BlockingIOError:
        pass


def test_it_is_a_handshake_that_failed_for_want_of_a_certificate() -> None:
    connection, check = Credentials(material(svid("api")), TlsSettings()).accept()
    session = TlsSession(connection, check, resumed=False)
    error = NoCertificate(session)
    assert error.reason is Reason.NO_CERTIFICATE
    assert error.session is session
