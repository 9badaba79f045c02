from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import evolve, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from OpenSSL import SSL

from sidecar.certs import blueprint
from sidecar.certs.authority import HOUR
from sidecar.config.model import (
    ORIGINAL,
    Endpoint,
    Inbound,
    Listener,
    Mode,
    PortSettings,
    ProxyProtocol,
)
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.identity.svid import Svid
from sidecar.net import original_dst
from sidecar.proxy.announce import announce
from sidecar.proxy.outcome import Refused
from sidecar.telemetry.labels import Outcome
from tests.support.mesh import (
    ALPN,
    DOMAIN,
    Tls,
    Wire,
    allow,
    application,
    authority,
    client,
    configuration,
    context,
    now,
    running,
    spiffe_id,
    svid,
)
from tests.support.proxy_header import Header, Partial, decode

if TYPE_CHECKING:
    from sidecar.config.model import Config
    from sidecar.identity.private_key import PrivateKey
    from tests.support.mesh import Application

ADDRESSES, TLS = ProxyProtocol.ADDRESSES, ProxyProtocol.TLS


@frozen
class Reader:
    """An application that reads a header first, and then returns what it reads."""

    greeting: bytes = b""
    headers: list[Header] = field(factory=list)

    async def __call__(self, wire: Wire) -> None:
        with contextlib.suppress(ConnectionError):
            rest = await self._read_header(wire)
            await wire.send(self.greeting)
            while rest or (rest := await wire.receive()):
                await wire.send(rest)
                rest = b""
            wire.end()

    async def _read_header(self, wire: Wire) -> bytes:
        read = b""
        while True:
            try:
                self.headers.append(decode(read))
            except Partial:
                read += await wire.receive()
            else:
                return read[self.headers[-1].size :]

    @property
    def header(self) -> Header:
        (header,) = self.headers
        return header


def telling(
    app: Application,
    told: ProxyProtocol,
    mode: Mode = Mode.STRICT,
    *,
    to: Endpoint | None = None,
) -> Config:
    ports = {app.endpoint.port: PortSettings(proxy_protocol=told)}
    return configuration(Inbound(mode=mode, ports=ports), to=to or app.endpoint)


def sockaddr(wire: Wire) -> tuple[str, int]:
    host, port = wire.sock.getsockname()[:2]
    return host, port


async def says_hello(to: Tls | Wire) -> None:
    await to.send(b"hello")
    assert await to.receive() == b"hello"


def with_subject(*names: str, key: PrivateKey | None = None) -> Svid:
    """An SVID of web, whose subject has these common names."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    plan = blueprint.leaf(spiffe_id("web"), key.public_key(), now=now(), lifetime=HOUR)
    subject = [x509.NameAttribute(x509.NameOID.COMMON_NAME, name) for name in names]
    chain = authority(DOMAIN).sign(evolve(plan, subject=x509.Name(subject)))
    return Svid(chain, key, SpiffeId.parse(spiffe_id("web")))


async def test_an_application_is_told_who_calls() -> None:
    reader = Reader()
    async with (
        application(reader) as app,
        running(telling(app, TLS), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = client(wire, with_subject("Web Shop"), alpn=ALPN)
            await says_hello(await tls.handshake())
            caller = sockaddr(wire)
            await tls.end()
            assert await tls.receive() == b""
        record = await mesh.record()
    header, ssl = reader.header, reader.header.ssl
    assert header.source == caller
    assert header.destination == ("127.0.0.1", mesh.port())
    assert header.values.keys() == {0x01, 0x20, 0xD0}
    assert header.values[0x01] == ALPN
    assert header.values[0xD0].decode() == spiffe_id("web")
    assert ssl is not None
    assert (ssl.client, ssl.verify) == (0x07, 0)
    assert ssl.values == {
        0x21: b"TLSv1.3",
        0x22: b"Web Shop",
        0x23: record["cipher"].encode(),
        0x24: b"ecdsa-with-SHA256",
        0x25: b"EC256",
        0x26: record["group"].encode(),
    }
    # The header is not the caller's.
    assert (record["outcome"], record["received"], record["sent"]) == (
        "completed",
        5,
        5,
    )


async def test_addresses_are_all_that_is_told_where_no_more_is_asked_for() -> None:
    reader = Reader()
    async with (
        application(reader) as app,
        running(telling(app, ADDRESSES), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            await says_hello(await client(wire, svid("web")).handshake())
            caller = sockaddr(wire)
    assert reader.header == Header(caller, ("127.0.0.1", mesh.port()), {}, 28)


async def test_other_ports_are_told_nothing() -> None:
    async with application() as app:
        elsewhere = PortSettings(proxy_protocol=TLS)
        inbound = Inbound(ports={app.endpoint.port ^ 1: elsewhere})
        async with running(
            configuration(inbound, to=app.endpoint), allow("web")
        ) as mesh:
            with await mesh.connect() as wire:
                await says_hello(await client(wire, svid("web")).handshake())


@pytest.mark.parametrize("mode", [Mode.PERMISSIVE, Mode.DISABLED])
@pytest.mark.parametrize("told", [ADDRESSES, TLS])
async def test_of_a_caller_without_tls_there_is_nothing_but_addresses(
    mode: Mode, told: ProxyProtocol
) -> None:
    reader = Reader()
    async with (
        application(reader) as app,
        running(telling(app, told, mode), allow("unauthenticated")) as mesh,
    ):
        with await mesh.connect() as wire:
            await says_hello(wire)
            caller = sockaddr(wire)
            wire.end()
            assert await wire.receive() == b""
        record = await mesh.record()
    assert reader.header == Header(caller, ("127.0.0.1", mesh.port()), {}, 28)
    assert (record["received"], record["sent"]) == (5, 5)


async def test_a_permissive_port_tells_of_the_tls_that_it_took() -> None:
    reader = Reader()
    async with (
        application(reader) as app,
        running(telling(app, TLS, Mode.PERMISSIVE), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = client(wire, svid("web"), alpn=ALPN)
            await says_hello(await tls.handshake())
    assert reader.header.values[0xD0].decode() == spiffe_id("web")


async def test_a_header_of_the_caller_comes_after_ours() -> None:
    """Whoever sends one itself is not believed: it is payload."""
    reader = Reader()
    async with (
        application(reader) as app,
        running(telling(app, TLS, Mode.DISABLED), allow("unauthenticated")) as mesh,
    ):
        with await mesh.connect() as wire:
            forged = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
            await wire.send(forged)
            assert await wire.receive() == forged
            assert reader.header.source == sockaddr(wire)


@pytest.mark.parametrize("mode", [Mode.STRICT, Mode.DISABLED])
async def test_a_server_that_speaks_first_has_its_header_at_once(mode: Mode) -> None:
    reader = Reader(b"220 mail.example.org\r\n")
    async with (
        application(reader) as app,
        running(telling(app, TLS, mode), allow("web", "unauthenticated")) as mesh,
    ):
        with await mesh.connect() as wire:
            heard: Tls | Wire = wire
            if mode is Mode.STRICT:
                heard = await client(wire, svid("web")).handshake()
            assert await heard.receive() == reader.greeting
    assert len(reader.headers) == 1


async def test_the_destination_is_where_a_redirected_connection_was_going(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = Reader()
    async with application(reader) as app:
        config = telling(app, ADDRESSES)
        listener = Listener(Endpoint("127.0.0.1", 0), ORIGINAL)
        config = evolve(config, inbound=evolve(config.inbound, listeners=(listener,)))
        async with running(config, allow("web")) as mesh:
            monkeypatch.setattr(original_dst, "original_dst", lambda _: app.endpoint)
            with await mesh.connect() as wire:
                await says_hello(await client(wire, svid("web")).handshake())
                caller = sockaddr(wire)
    there = ("127.0.0.1", app.endpoint.port)
    assert (reader.header.source, reader.header.destination) == (caller, there)


@pytest.mark.parametrize(
    ("listen", "host", "size"), [("::1", "::1", 52), ("::", "127.0.0.1", 28)]
)
async def test_addresses_are_of_the_family_in_which_the_caller_came(
    listen: str, host: str, size: int
) -> None:
    """Also where IPv4 comes in at a listener of IPv6."""
    reader = Reader()
    async with application(reader) as app:
        config = telling(app, ADDRESSES)
        listener = Listener(Endpoint(listen, 0), app.endpoint)
        config = evolve(config, inbound=evolve(config.inbound, listeners=(listener,)))
        async with running(config, allow("web")) as mesh:
            with await Wire.to(Endpoint(host, mesh.port())) as wire:
                await says_hello(await client(wire, svid("web")).handshake())
                caller = sockaddr(wire)
    assert reader.header == Header(caller, (host, mesh.port()), {}, size)


async def test_a_denied_peer_leaves_no_header() -> None:
    async with (
        application(Reader()) as app,
        running(telling(app, TLS), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = await client(wire, svid("db")).handshake()
            assert await tls.was_reset() == b""
        assert (await mesh.record())["outcome"] == "denied"
    assert app.accepted == []


async def test_a_resumed_session_says_so() -> None:
    reader = Reader()
    shared = context(SSL.TLS_CLIENT_METHOD, svid("web"))
    async with (
        application(reader) as app,
        running(telling(app, TLS), allow("web")) as mesh,
    ):
        session = None
        for _ in range(2):
            with await mesh.connect() as wire:
                tls = Tls(wire, shared, server=False)
                if session is not None:
                    tls.connection.set_session(session)
                await says_hello(await tls.handshake())
                session = tls.connection.get_session()
                await tls.end()
                assert await tls.receive() == b""
        records = await mesh.records(2)
    assert [each["resumed"] for each in records] == [False, True]
    assert [each.ssl and each.ssl.client for each in reader.headers] == [0x07, 0x05]
    assert {each.values[0xD0] for each in reader.headers} == {spiffe_id("web").encode()}


@pytest.mark.parametrize("names", [(), ("web", "shop"), ("two\nlines",)])
async def test_a_subject_without_one_good_name_is_not_told(
    names: tuple[str, ...],
) -> None:
    reader = Reader()
    async with (
        application(reader) as app,
        running(telling(app, TLS), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            await says_hello(await client(wire, with_subject(*names)).handshake())
    assert reader.header.ssl is not None
    assert 0x22 not in reader.header.ssl.values


@pytest.mark.parametrize(
    ("key", "named"),
    [
        (rsa.generate_private_key(65537, 2048), b"RSA2048"),
        (ec.generate_private_key(ec.SECP384R1()), b"EC384"),
        (ed25519.Ed25519PrivateKey.generate(), None),
    ],
)
async def test_the_key_is_the_one_of_our_own_certificate(
    key: PrivateKey, named: bytes | None
) -> None:
    reader = Reader()
    async with (
        application(reader) as app,
        running(telling(app, TLS), allow("web"), own=with_subject(key=key)) as mesh,
    ):
        with await mesh.connect() as wire:
            await says_hello(await client(wire, svid("web")).handshake())
    assert reader.header.ssl is not None
    assert reader.header.ssl.values.get(0x25) == named
    assert reader.header.ssl.values[0x24] == b"ecdsa-with-SHA256"


async def test_an_application_that_has_left_is_a_refusal() -> None:
    upstream, gone = socket.socketpair()
    upstream.setblocking(False)
    gone.close()
    with pytest.raises(Refused) as caught:
        await announce(upstream, b"header", 10)
    assert caught.value.outcome is Outcome.RESET_BY_UPSTREAM
    assert upstream.fileno() == -1


async def test_an_application_that_takes_nothing_is_given_up(
    clock: trio.testing.MockClock,
) -> None:
    upstream, deaf = socket.socketpair()
    upstream.setblocking(False)
    with deaf, pytest.raises(Refused) as caught:
        await announce(upstream, bytes(1 << 24), 10)
    assert caught.value.outcome is Outcome.UPSTREAM_TIMEOUT
    assert "10 seconds" in str(caught.value)
    assert upstream.fileno() == -1
    assert trio.current_time() >= 10


async def test_a_caller_that_is_cut_meanwhile_leaves_nothing_open() -> None:
    upstream, deaf = socket.socketpair()
    upstream.setblocking(False)
    with deaf, trio.CancelScope() as scope:
        scope.cancel()
        await announce(upstream, bytes(1 << 24), 10)
    assert scope.cancelled_caught
    assert upstream.fileno() == -1
