from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from hypothesis import given, strategies as st
from OpenSSL import SSL

from bench.wire.server_hello import ServerHello, ServerHelloError, parse
from sidecar.certs.authority import Authority
from sidecar.identity.spiffe_id import SpiffeId


class Handshakes(NamedTuple):
    """What the server sent first: in a full handshake, and in one that resumed it."""

    full: bytes
    resumed: bytes


def contexts() -> tuple[SSL.Context, SSL.Context]:
    now = datetime.now(UTC)
    name = SpiffeId.parse("spiffe://example.org/a")
    svid = Authority.create("example.org", now=now).issue(name, now=now)
    client, server = SSL.Context(SSL.TLS_METHOD), SSL.Context(SSL.TLS_METHOD)
    server.use_certificate(svid.chain[0])
    server.use_privatekey(svid.private_key)
    for context in (client, server):
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
    return client, server


def shake_hands(
    contexts: tuple[SSL.Context, SSL.Context], session: object = None
) -> tuple[bytes, object]:
    client, server = (SSL.Connection(context, None) for context in contexts)
    client.set_connect_state()
    server.set_accept_state()
    if session is not None:
        client.set_session(session)  # type: ignore[arg-type]
    client_flight(client)
    server.bio_write(client.bio_read(65536))
    client_flight(server)
    first = server.bio_read(65536)
    client.bio_write(first)
    client.do_handshake()
    server.bio_write(client.bio_read(65536))
    server.do_handshake()
    server.send(b"x")
    client.bio_write(server.bio_read(65536))
    client.recv(1)  # and the tickets that come before it
    session = client.get_session()
    # OpenSSL takes a session for broken if its connection ends without a word.
    client.shutdown()
    return first, session


def client_flight(connection: SSL.Connection) -> None:
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()


@pytest.fixture(scope="module")
def handshakes() -> Handshakes:
    both = contexts()
    full, session = shake_hands(both)
    return Handshakes(full, shake_hands(both, session)[0])


def test_a_server_hello_says_what_the_server_chose(handshakes: Handshakes) -> None:
    hello = parse(handshakes.full)
    assert (hello.version, hello.cipher) == ("TLS 1.3", "AES-256-GCM")
    assert hello.group in {"X25519", "X25519MLKEM768"}
    assert (hello.resumed, hello.retry) == (False, False)


def test_a_session_that_is_taken_up_again_shows(handshakes: Handshakes) -> None:
    hello = parse(handshakes.resumed)
    assert hello == ServerHello(
        hello.version, hello.group, hello.cipher, resumed=True, retry=False
    )


def test_no_part_of_a_server_hello_is_one(handshakes: Handshakes) -> None:
    size = 5 + int.from_bytes(handshakes.full[3:5])
    assert parse(handshakes.full[:size]) == parse(handshakes.full)
    for end in range(size):
        with pytest.raises(ServerHelloError, match="whole"):
            parse(handshakes.full[:end])


def test_tls_1_2_is_told_apart_by_its_lack_of_an_extension() -> None:
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\xc0\x2b\x00" + b"\x00\x00"
    hello = parse(b"\x16\x03\x03\x00\x00" + b"\x02\x00\x00\x00" + body)
    assert hello == ServerHello("TLS 1.2", "none", "0xc02b", resumed=False, retry=False)


def test_an_alert_is_no_server_hello() -> None:
    with pytest.raises(ServerHelloError, match="got 150303000202"):
        parse(b"\x15\x03\x03\x00\x02\x02\x28")


@given(st.binary(max_size=300))
def test_any_bytes_parse_or_raise_the_one_documented_error(data: bytes) -> None:
    for prefix in (b"", b"\x16\x03\x03\x00\x00\x02"):
        with contextlib.suppress(ServerHelloError):
            parse(prefix + data)
