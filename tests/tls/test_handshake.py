from __future__ import annotations

import socket
from typing import TYPE_CHECKING, TypeAlias

import pytest
import trio
import trio.testing
from OpenSSL import SSL

from sidecar.certs.authority import Authority
from sidecar.config.model import Tls
from sidecar.net.sockopt import reset
from sidecar.telemetry.labels import Reason
from sidecar.tls.errors import HandshakeError
from sidecar.tls.handshake import (
    TlsSession,
    handshake,
    linger,
    looks_like_plaintext,
    send_all,
    send_waiting,
)
from sidecar.tls.openssl_binding import BIO_write, bios, waiting
from tests.net import sockets
from tests.tls.peers import (
    ALERT,
    API,
    DONE,
    HOUR,
    NOW,
    End,
    client,
    client_of,
    credentials,
    expecting,
    issue,
    server_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock

    from sidecar.identity.svid import Svid
    from sidecar.tls.credentials import Credentials
    from sidecar.tls.verify import PeerCheck

Pair: TypeAlias = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Our end and the peer's, without a network."""
    with sockets.pair() as ends:
        yield ends


@pytest.fixture
def tcp() -> Iterator[Pair]:
    with sockets.tcp_pair() as ends:
        yield ends


async def receive(sock: socket.socket) -> bytes:
    await trio.lowlevel.wait_readable(sock)
    return sock.recv(65536)


async def talk(sock: socket.socket, connection: SSL.Connection, piece: int = 0) -> End:
    """Speak for a peer until the other end has ended or failed."""
    end = End(connection)
    while True:
        end.step()
        data = end.take()
        size = piece or len(data) or 1
        for begin in range(0, len(data), size):
            await send_all(sock, data[begin : begin + size])
            await trio.lowlevel.checkpoint()
        if end.outcome not in {None, DONE}:
            return end
        more = await receive(sock)
        if not more:
            return end
        end.give(more)


class Meeting:
    """Our handshake on one side, and whoever the test puts on the other."""

    def __init__(
        self, sock: socket.socket, ours: tuple[SSL.Connection, PeerCheck]
    ) -> None:
        self.sock = sock
        self.connection, self.check = ours
        self.session: TlsSession | None = None
        self.error: HandshakeError | OSError | None = None

    async def run(self, first: bytes = b"") -> None:
        try:
            self.session = await handshake(
                self.sock, self.connection, self.check, first
            )
        except (HandshakeError, OSError) as error:
            self.error = error
        await linger(self.sock)

    @property
    def reason(self) -> Reason:
        if self.session is not None:
            return Reason.OK
        assert isinstance(self.error, HandshakeError)
        return self.error.reason


async def meet(
    pair: Pair,
    ours: tuple[SSL.Connection, PeerCheck],
    theirs: SSL.Connection,
    piece: int = 0,
) -> tuple[Meeting, End]:
    sock, peer = pair
    meeting = Meeting(sock, ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(meeting.run)
        end = await talk(peer, theirs, piece)
        peer.close()
    return meeting, end


# --- who is there


async def test_a_client_is_learnt(pair: Pair, ours: Credentials, cart: Svid) -> None:
    met, end = await meet(pair, ours.accept(), client_of(cart))
    assert met.session is not None
    assert met.session.peer == cart.name
    assert met.session.connection is met.connection
    assert not met.session.resumed
    assert end.outcomes[0] == DONE


async def test_a_server_is_learnt(pair: Pair, ours: Credentials, api: Svid) -> None:
    met, _ = await meet(pair, ours.connect(expecting(API), "api"), server_of(api))
    assert met.session is not None
    assert met.session.peer == api.name


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_two_of_us_meet_byte_by_byte(
    pair: Pair, authority: Authority, cart: Svid, version: str
) -> None:
    tls = Tls(minimum_version="1.2")
    ours = credentials(authority, tls=tls).accept()
    capped = SSL.TLS1_2_VERSION if version == "1.2" else None
    met, end = await meet(pair, ours, client_of(cart, version=capped), piece=1)
    assert met.session is not None
    assert met.session.peer == cart.name
    assert end.outcomes[0] == DONE


async def test_bytes_that_were_read_before_count(
    pair: Pair, ours: Credentials, cart: Svid
) -> None:
    sock, peer = pair
    theirs = End(client_of(cart))
    theirs.step()
    first = theirs.take()
    peer.send(first[100:])
    met = Meeting(sock, ours.accept())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(met.run, first[:100])
        while met.session is None:
            theirs.give(await receive(peer))
            theirs.step()
            await send_all(peer, theirs.take())
            await trio.testing.wait_all_tasks_blocked()
        peer.close()
    assert met.session.peer == cart.name


async def test_what_comes_with_the_last_flight_is_kept(
    pair: Pair, ours: Credentials, cart: Svid
) -> None:
    sock, peer = pair
    theirs = End(client_of(cart))
    met = Meeting(sock, ours.accept())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(met.run)
        theirs.step()
        await send_all(peer, theirs.take())
        theirs.give(await receive(peer))
        theirs.step()
        theirs.connection.send(b"hasty")
        await send_all(peer, theirs.take())
        await trio.testing.wait_all_tasks_blocked()
        assert met.session is not None
        assert met.session.connection.recv(10) == b"hasty"
        peer.close()


async def test_a_lenient_server_takes_a_client_without_a_certificate(
    pair: Pair, ours: Credentials
) -> None:
    met, _ = await meet(pair, ours.accept(certificate_required=False), client())
    assert met.session is not None
    assert met.session.peer is None


async def test_a_session_that_nobody_judged_is_none(
    pair: Pair, ours: Credentials
) -> None:
    # As it would be if OpenSSL took up an earlier session on its own.
    connection, check = ours.accept(certificate_required=False)
    check.required = True
    met, _ = await meet(pair, (connection, check), client())
    assert met.reason is Reason.NO_CERTIFICATE


# --- who is refused


async def test_a_refused_client_reads_why(
    pair: Pair, ours: Credentials, authority: Authority
) -> None:
    expired = issue(authority, now=NOW - 2 * HOUR)
    met, end = await meet(pair, ours.accept(), client_of(expired))
    assert met.reason is Reason.EXPIRED
    assert str(met.error).startswith("certificate: expired 1 hour ago, 20")
    assert isinstance(met.error, HandshakeError)
    assert met.error.alerted
    assert end.outcomes == [DONE, ALERT + 45]


async def test_a_server_that_is_not_expected_is_refused(
    pair: Pair, ours: Credentials, cart: Svid
) -> None:
    met, end = await meet(pair, ours.connect(expecting(API), None), server_of(cart))
    assert met.reason is Reason.UNEXPECTED_PEER
    assert end.outcomes == [ALERT + 42]


async def test_a_client_without_a_certificate_is_refused(
    pair: Pair, ours: Credentials
) -> None:
    met, end = await meet(pair, ours.accept(), client())
    assert met.reason is Reason.NO_CERTIFICATE
    assert end.outcomes == [DONE, ALERT + 116]


async def test_a_server_that_refuses_us_in_the_handshake_is_heard(
    pair: Pair, ours: Credentials, api: Svid
) -> None:
    sock, peer = pair
    met = Meeting(sock, ours.connect(expecting(API), None))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(met.run)
        await receive(peer)
        peer.send(b"\x15\3\3\0\2\2\x30")  # unknown_ca
        peer.close()
    assert met.reason is Reason.PEER_REFUSED
    assert str(met.error) == "the peer refused us with the alert unknown_ca (48)"
    assert not met.error.alerted  # type: ignore[union-attr]


async def test_a_server_that_refuses_our_protocol_is_told_apart(
    pair: Pair, ours: Credentials
) -> None:
    sock, peer = pair
    met = Meeting(sock, ours.connect(expecting(API), None))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(met.run)
        await receive(peer)
        peer.send(b"\x15\3\3\0\2\2\x78")  # no_application_protocol
        peer.close()
    assert isinstance(met.error, HandshakeError)
    assert met.error.alpn_refused
    assert met.reason is Reason.PROTOCOL_ERROR


async def test_a_peer_that_is_gone_was_refused_for_its_certificate_all_the_same(
    tcp: Pair, ours: Credentials
) -> None:
    sock, peer = tcp
    theirs = End(client_of(issue(Authority.create("example.org", now=NOW))))
    theirs.step()
    peer.send(theirs.take())
    connection, check = ours.accept()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_silent, sock, connection, check, scope)
            theirs.give(await receive(peer))
            theirs.step()
    last = theirs.take()
    reset(peer)
    broken = _Broken(fileno=sock.detach())
    with broken, pytest.raises(HandshakeError) as raised:
        await handshake(broken, connection, check, last)
    assert raised.value.reason is Reason.UNTRUSTED_CHAIN
    assert broken.tried


class _Broken(socket.socket):
    """A socket whose peer is gone."""

    tried = False

    def send(self, *_: object) -> int:
        self.tried = True
        raise BrokenPipeError


async def _until_silent(
    sock: socket.socket,
    connection: SSL.Connection,
    check: PeerCheck,
    scope: trio.CancelScope,
) -> None:
    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()

        nursery.start_soon(stop)
        await handshake(sock, connection, check)


# --- what is no handshake


# What their clients send first.
BINARY = {
    "PostgreSQL, asking for TLS": b"\0\0\0\x08\x04\xd2\x16\x2f",
    "PostgreSQL": b"\0\0\0\x29\0\3\0\0user\0a\0database\0a\0\0",
    "Redis": b"*1\r\n$4\r\nPING\r\n",
    "memcached": b"\x80\x0b" + bytes(22),
    "MongoDB": b"\x3a\0\0\0\1\0\0\0\0\0\0\0\xdd\7\0\0",
    "Kafka": b"\0\0\0\x1a\0\x12\0\3\0\0\0\1\0\1a",
    "MQTT": b"\x10\x0c\0\4MQTT\4\2\0\x3c\0\0",
    "Cassandra": b"\4\0\0\0\5\0\0\0\0",
    "LDAP": b"\x30\x0c\2\1\1\x60\7\2\1\3\4\0\x80\0",
    "AMQP": b"AMQP\0\0\x09\1",
    "a PROXY header": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12),
    "zeros": bytes(100),
}


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.0\r\n\r\n",
        b"CONNECT api:443 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"EHLO a.example.org\r\n",
        b"PING\r\n",
        *BINARY.values(),
    ],
)
async def test_a_client_that_speaks_plaintext_is_told_apart(
    pair: Pair, ours: Credentials, text: bytes
) -> None:
    sock, peer = pair
    peer.send(text)
    peer.shutdown(socket.SHUT_WR)
    met = Meeting(sock, ours.accept())
    await met.run()
    assert met.reason is Reason.PLAINTEXT


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        b"220 mail.example.org ESMTP\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x4a\0\0\0\x0a8.0.36\0",  # MySQL's server speaks first
        *BINARY.values(),
    ],
)
async def test_a_server_that_answers_in_plaintext_is_told_apart(
    pair: Pair, ours: Credentials, text: bytes
) -> None:
    sock, peer = pair
    peer.send(text)
    peer.shutdown(socket.SHUT_WR)
    met = Meeting(sock, ours.connect(expecting(API), None))
    await met.run()
    assert met.reason is Reason.PLAINTEXT
    assert str(met.error) == "the peer does not speak TLS"


async def test_text_is_told_by_its_first_bytes_however_it_comes(
    pair: Pair, ours: Credentials
) -> None:
    sock, peer = pair
    met = Meeting(sock, ours.connect(expecting(API), None))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(met.run)
        for part in (b"HT", b"T", b"P/1.1 400 Bad Request\r\n"):
            await trio.testing.wait_all_tasks_blocked()
            peer.send(part)
        peer.shutdown(socket.SHUT_WR)
    assert met.reason is Reason.PLAINTEXT


GARBAGE = {
    "a hello of letters": b"\x16\3\1\0\5hello",
    "no such version": b"\x16\3\xff\0\4\2\0\0\0",
    "data": b"\x17\3\3\0\1a",
    "a record too long": b"\x16\3\3\xff\xff" + bytes(100),
    "a ServerHello": b"\x16\3\3\0\4\2\0\0\0",
    "SSL 2": b"\x80\x2e\1\0\2\0\x15\0\0\0\x10" + bytes(40),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("flight", [0, 1])
async def test_garbage_is_a_protocol_error_at_any_stage_of_a_server(
    pair: Pair, ours: Credentials, cart: Svid, garbage: bytes, flight: int
) -> None:
    sock, peer = pair
    met = Meeting(sock, ours.accept())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(met.run)
        if flight:
            theirs = End(client_of(cart))
            theirs.step()
            peer.send(theirs.take())
            await receive(peer)
        peer.send(garbage)
        peer.shutdown(socket.SHUT_WR)
    assert met.reason is Reason.PROTOCOL_ERROR
    assert str(met.error)


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_a_protocol_error_for_a_client(
    pair: Pair, ours: Credentials, garbage: bytes
) -> None:
    sock, peer = pair
    met = Meeting(sock, ours.connect(expecting(API), None))
    peer.send(garbage)
    peer.shutdown(socket.SHUT_WR)
    await met.run()
    assert met.reason in {Reason.PROTOCOL_ERROR, Reason.RESET}


async def test_close_notify_in_mid_handshake_is_an_end(
    pair: Pair, ours: Credentials
) -> None:
    sock, peer = pair
    met = Meeting(sock, ours.connect(expecting(API), None))
    peer.send(b"\x15\3\3\0\2\1\0")
    peer.shutdown(socket.SHUT_WR)
    await met.run()
    assert met.reason is Reason.RESET


# --- who leaves


@pytest.mark.parametrize("sent", [0, 1, 5, 100, 10_000])
async def test_a_client_that_ends_within_its_hello_has_left(
    pair: Pair, ours: Credentials, cart: Svid, sent: int
) -> None:
    sock, peer = pair
    theirs = End(client_of(cart))
    theirs.step()
    peer.send(theirs.take()[:sent])
    peer.shutdown(socket.SHUT_WR)
    met = Meeting(sock, ours.accept())
    await met.run()
    assert met.reason is Reason.RESET


@pytest.mark.parametrize("kept", [1, 50, 500])
async def test_a_client_that_ends_within_its_last_flight_has_left(
    pair: Pair, ours: Credentials, cart: Svid, kept: int
) -> None:
    sock, peer = pair
    met = Meeting(sock, ours.accept())
    theirs = End(client_of(cart))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(met.run)
        theirs.step()
        peer.send(theirs.take())
        theirs.give(await receive(peer))
        theirs.step()
        assert theirs.outcomes == [DONE]
        peer.send(theirs.take()[:-kept])
        peer.close()
    assert met.reason is Reason.RESET


@pytest.mark.parametrize("sent", [0, 1, 100, 1000])
async def test_a_server_that_ends_has_left(
    pair: Pair, ours: Credentials, api: Svid, sent: int
) -> None:
    sock, peer = pair
    met = Meeting(sock, ours.connect(expecting(API), None))
    theirs = End(server_of(api))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(met.run)
        theirs.give(await receive(peer))
        theirs.step()
        peer.send(theirs.take()[:sent])
        peer.close()
    assert met.reason is Reason.RESET


@pytest.mark.parametrize("accepting", [True, False])
async def test_a_reset_is_an_error_of_the_connection(
    tcp: Pair, ours: Credentials, accepting: bool
) -> None:
    sock, peer = tcp
    met = Meeting(sock, ours.accept() if accepting else ours.connect(expecting(), ""))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(met.run)
        await trio.testing.wait_all_tasks_blocked()
        reset(peer)
    assert isinstance(met.error, ConnectionResetError)


# --- cancellation


async def test_cancelled_while_it_waits_for_the_peer_it_leaves_nothing(
    pair: Pair, ours: Credentials, cart: Svid
) -> None:
    sock, peer = pair
    for flights in range(2):
        connection, check = ours.accept()
        theirs = End(client_of(cart))
        theirs.step()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_silent, sock, connection, check, scope)
                if flights:
                    peer.send(theirs.take())
        assert scope.cancelled_caught
        assert check.peer is None
        while flights:
            try:
                assert peer.recv(65536)
            except BlockingIOError:
                break
    # The socket is nobody's, and the next handshake over it is like any other.
    met, _ = await meet(pair, ours.accept(), client_of(cart))
    assert met.reason is Reason.OK


async def test_cancelled_while_it_cannot_send_it_leaves_nothing(
    pair: Pair, ours: Credentials, cart: Svid
) -> None:
    sock, peer = pair
    filled = _fill(sock)
    connection, check = ours.connect(expecting(API), None)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_silent, sock, connection, check, scope)
    assert scope.cancelled_caught
    while filled:
        filled -= len(peer.recv(65536))
    met, _ = await meet(pair, ours.accept(), client_of(cart))
    assert met.reason is Reason.OK


def _fill(sock: socket.socket) -> int:
    """Send until nothing more goes in; give how much it was."""
    filled = 0
    while True:
        try:
            filled += sock.send(bytes(65536))
        except BlockingIOError:
            return filled


# --- sending


async def test_a_slow_peer_gets_everything(pair: Pair) -> None:
    sock, peer = pair
    data = bytes(range(256)) * 8192
    heard = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_all, sock, data)
        while len(heard) < len(data):
            heard += await receive(peer)
    assert heard == data


async def test_all_that_openssl_has_is_sent(pair: Pair, ours: Credentials) -> None:
    sock, peer = pair
    connection, _ = ours.accept()
    _, _, out = bios(connection)
    data = bytes(range(256)) * 1024
    BIO_write(out, data, len(data))
    heard = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_waiting, sock, out)
        while len(heard) < len(data):
            heard += await receive(peer)
    assert heard == data
    assert waiting(out) == 0


async def test_handshakes_at_once_do_not_mix_their_bytes(
    authority: Authority, ours: Credentials
) -> None:
    names = [f"spiffe://example.org/a/{n}" for n in range(20)]
    found: dict[str, object] = {}

    async def one(name: str) -> None:
        with sockets.pair() as pair:
            met, _ = await meet(
                pair, ours.accept(), client_of(issue(authority, name)), piece=37
            )
            assert met.session is not None
            found[name] = str(met.session.peer)

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(one, name)
    assert found == {name: name for name in names}


# --- the last words


async def test_an_alert_reaches_a_client_that_keeps_sending(
    tcp: Pair, ours: Credentials, authority: Authority
) -> None:
    sock, peer = tcp
    expired = issue(authority, now=NOW - 2 * HOUR)
    met = Meeting(sock, ours.accept())
    theirs = End(client_of(expired))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(met.run)
        theirs.step()
        peer.send(theirs.take())
        theirs.give(await receive(peer))
        theirs.step()
        theirs.connection.send(bytes(16_000))
        await send_all(peer, theirs.take())
        await trio.testing.wait_all_tasks_blocked()
        # It has its certificate refused by now and goes on.
        theirs.connection.send(bytes(16_000))
        await send_all(peer, theirs.take())
        while data := await receive(peer):
            theirs.give(data)
        peer.close()
    theirs.step()
    assert theirs.outcomes == [DONE, ALERT + 45]


async def test_lingering_ends_with_the_peer(tcp: Pair) -> None:
    sock, peer = tcp
    peer.send(b"last")
    peer.close()
    await linger(sock)
    assert sock.recv(1) == b""


async def test_lingering_ends_our_direction(tcp: Pair) -> None:
    sock, peer = tcp
    async with trio.open_nursery() as nursery:
        nursery.start_soon(linger, sock)
        assert await receive(peer) == b""
        peer.close()


async def test_lingering_takes_a_second_at_most(
    pair: Pair, autojump_clock: MockClock
) -> None:
    sock, _ = pair
    began = trio.current_time()
    await linger(sock)
    assert trio.current_time() - began == 1


async def test_lingering_takes_64_kib_at_most(pair: Pair) -> None:
    sock, peer = pair
    taken = 0

    async def flood() -> None:
        nonlocal taken
        while True:
            await trio.lowlevel.wait_writable(peer)
            taken += peer.send(bytes(4096))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        await linger(sock)
        nursery.cancel_scope.cancel()
    left = 0
    sock.setblocking(False)
    while True:
        try:
            left += len(sock.recv(65536))
        except BlockingIOError:
            break
    assert 65536 <= taken - left < 2 * 65536


async def test_lingering_on_a_reset_raises_nothing(tcp: Pair) -> None:
    sock, peer = tcp
    reset(peer)
    await linger(sock)
    await linger(sock)


async def test_lingering_waits_for_bytes_that_were_announced_in_vain(
    pair: Pair,
) -> None:
    sock, peer = pair
    peer.send(b"last")
    peer.close()
    with _Hasty(fileno=sock.detach()) as hasty:
        await linger(hasty)
        assert hasty.recv(1) == b""


class _Hasty(socket.socket):
    """A socket that is said to be readable before it is."""

    early = True

    def recv_into(self, *args: object) -> int:
        if self.early:
            self.early = False
            raise BlockingIOError
        return super().recv_into(*args)  # type: ignore[arg-type]


# --- text or not


@pytest.mark.parametrize(
    "first",
    [
        b"GET /",
        b"G",
        b"HTTP/1.1 400 Bad Request",
        b"220 mail.example.org",
        b"\r\n\r\n",
        b"\xc3\xa9t\xc3\xa9",
        b"\x16\0\0\0",  # as long as a handshake's number says
        b"\x80\0\0\0",
        b"\0",
        b"\x13\3\3",
        b"\x19\3\3",
        *BINARY.values(),
    ],
)
def test_other_protocols_look_like_plaintext(first: bytes) -> None:
    assert looks_like_plaintext(first)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\x16",
        b"\x16\3\1\2\0\1",
        b"\x16\3\xff\xff\xff\xff",
        b"\x14\3\3\0\1\1",
        b"\x15\3\3\0\2\2\x28",
        b"\x17\3\3",
        b"\x18\3\3",
        b"\x80\x2e\1\0\2",  # SSL 2.0
        b"\x80\x2e",
        b"\x80",
    ],
)
def test_tls_however_broken_does_not(first: bytes) -> None:
    assert not looks_like_plaintext(first)
