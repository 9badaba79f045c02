from __future__ import annotations

import ipaddress
import struct

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from sidecar.config.model import Endpoint
from sidecar.identity.spiffe_id import MAX_LENGTH
from sidecar.proxy.proxy_protocol import TlsFacts, encode
from tests.support.proxy_header import Header, Partial, decode

SOURCE = Endpoint("192.0.2.1", 40000)
DESTINATION = Endpoint("198.51.100.2", 8080)
LEAST = TlsFacts("TLSv1.3", "TLS_AES_128_GCM_SHA256")
WHOLE = TlsFacts(
    version="TLSv1.3",
    cipher="TLS_AES_128_GCM_SHA256",
    resumed=False,
    alpn=b"sidecar-mtls/1",
    group="X25519MLKEM768",
    signature_algorithm="ecdsa-with-SHA256",
    key_algorithm="EC256",
    common_name="Wäb",
    spiffe_id="spiffe://example.org/ns/shop/sa/web",
)

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
ports = st.integers(0, 65535)
texts = st.text(st.characters(codec="utf-8"), max_size=40)


def test_addresses_byte_by_byte() -> None:
    assert encode(SOURCE, DESTINATION).hex(" ") == (
        "0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 21 11 00 0c "
        "c0 00 02 01 c6 33 64 02 9c 40 1f 90"
    )


def test_a_value_byte_by_byte() -> None:
    facts = TlsFacts("TLSv1.3", "", spiffe_id="spiffe://a/b")
    assert encode(SOURCE, DESTINATION, facts)[28:] == (
        b"\x20\x00\x0f"  # PP2_TYPE_SSL
        b"\x07\x00\x00\x00\x00"  # TLS, with a certificate, verified
        b"\x21\x00\x07TLSv1.3"
        b"\xd0\x00\x0cspiffe://a/b"
    )


def test_everything_that_is_known_of_a_peer() -> None:
    header = decode(encode(SOURCE, DESTINATION, WHOLE))
    assert header.values.keys() == {0x01, 0x20, 0xD0}
    assert header.values[0x01] == b"sidecar-mtls/1"
    assert header.values[0xD0] == b"spiffe://example.org/ns/shop/sa/web"
    assert header.ssl is not None
    assert (header.ssl.client, header.ssl.verify) == (0x07, 0)
    assert header.ssl.values == {
        0x21: b"TLSv1.3",
        0x22: "Wäb".encode(),
        0x23: b"TLS_AES_128_GCM_SHA256",
        0x24: b"ecdsa-with-SHA256",
        0x25: b"EC256",
        0x26: b"X25519MLKEM768",
    }


def test_what_is_not_known_is_left_out() -> None:
    header = decode(encode(SOURCE, DESTINATION, LEAST))
    assert header.values.keys() == {0x20}
    assert header.ssl is not None
    assert header.ssl.values.keys() == {0x21, 0x23}


def test_a_resumed_session_says_that_its_certificate_came_earlier() -> None:
    header = decode(encode(SOURCE, DESTINATION, evolve(LEAST, resumed=True)))
    assert header.ssl is not None
    assert header.ssl.client == 0x05


def test_a_peer_without_tls_has_no_word_on_tls() -> None:
    assert decode(encode(SOURCE, DESTINATION)).values == {}


@pytest.mark.parametrize(
    ("source", "destination", "family", "read"),
    [
        ("::ffff:192.0.2.1", "198.51.100.2", 0x11, ("192.0.2.1", "198.51.100.2")),
        ("2001:db8::1", "2001:db8::2", 0x21, ("2001:db8::1", "2001:db8::2")),
        ("fe80::1%eth0", "fe80::2", 0x21, ("fe80::1", "fe80::2")),
        (
            "192.0.2.1",
            "2001:db8::2",
            0x21,
            ("::ffff:192.0.2.1", "2001:db8::2"),
        ),
        (
            "2001:db8::1",
            "::ffff:198.51.100.2",
            0x21,
            ("2001:db8::1", "::ffff:198.51.100.2"),
        ),
    ],
)
def test_both_ends_are_of_one_family(
    source: str, destination: str, family: int, read: tuple[str, str]
) -> None:
    data = encode(Endpoint(source, 1), Endpoint(destination, 2))
    header = decode(data)
    assert data[13] == family
    ends = header.source[0], header.destination[0]
    assert [*map(ipaddress.ip_address, ends)] == [*map(ipaddress.ip_address, read)]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "web\0.example.org",
        "two\nlines",
        "\x1b[2J",
        "\ud800",
        "\u202egro",
        "x" * 2049,
    ],
)
def test_a_name_that_could_be_taken_for_another_is_left_out(name: str) -> None:
    header = decode(encode(SOURCE, DESTINATION, evolve(LEAST, common_name=name)))
    assert header.ssl is not None
    assert 0x22 not in header.ssl.values


def test_the_longest_spiffe_id_has_its_place() -> None:
    longest = "spiffe://example.org/" + "a" * (MAX_LENGTH - 21)
    header = decode(encode(SOURCE, DESTINATION, evolve(WHOLE, spiffe_id=longest)))
    assert header.values[0xD0].decode() == longest


@given(
    source=st.tuples(addresses, ports),
    destination=st.tuples(addresses, ports),
    facts=st.none()
    | st.builds(
        TlsFacts,
        version=texts,
        cipher=texts,
        resumed=st.booleans(),
        alpn=st.binary(max_size=255),
        group=st.none() | texts,
        signature_algorithm=st.none() | texts,
        key_algorithm=st.none() | texts,
        common_name=st.none() | texts | st.text(min_size=3000, max_size=3001),
        spiffe_id=st.none() | texts,
    ),
)
def test_what_is_written_is_read(
    source: tuple[object, int],
    destination: tuple[object, int],
    facts: TlsFacts | None,
) -> None:
    ends = (
        Endpoint(str(source[0]), source[1]),
        Endpoint(str(destination[0]), destination[1]),
    )
    data = encode(ends[0], ends[1], facts)
    header = decode(data + b"GET /")
    assert (_unmapped(header.source), _unmapped(header.destination)) == tuple(
        _unmapped((end.host, end.port)) for end in ends
    )
    assert header.size == len(data) <= 16384
    assert _said(header) == _expected(facts)
    assert struct.unpack_from("!H", data, 14)[0] == len(data) - 16


def _unmapped(end: tuple[str, int]) -> tuple[object, int]:
    address = ipaddress.ip_address(end[0])
    return getattr(address, "ipv4_mapped", None) or address, end[1]


def _said(header: Header) -> dict[int, bytes]:
    ssl = header.ssl
    outer = {kind: value for kind, value in header.values.items() if kind != 0x20}
    return outer if ssl is None else {0x20: bytes([ssl.client]), **outer, **ssl.values}


def _expected(facts: TlsFacts | None) -> dict[int, bytes]:
    if facts is None:
        return {}
    texts = {
        0x21: facts.version,
        0x22: facts.common_name,
        0x23: facts.cipher,
        0x24: facts.signature_algorithm,
        0x25: facts.key_algorithm,
        0x26: facts.group,
        0xD0: facts.spiffe_id,
    }
    said = {0x20: b"\x05" if facts.resumed else b"\x07", 0x01: facts.alpn}
    for kind, text in texts.items():
        if text is not None and text.isprintable() and len(text.encode()) <= 2048:
            said[kind] = text.encode()
    return {kind: value for kind, value in said.items() if value}


def test_every_prefix_is_incomplete() -> None:
    """To the reader that these tests trust: it takes no part for the whole."""
    data = encode(SOURCE, DESTINATION, WHOLE)
    for size in range(len(data)):
        with pytest.raises(Partial):
            decode(data[:size])


@given(st.binary(max_size=80))
def test_the_reader_of_these_tests_takes_nothing_else_for_a_header(tail: bytes) -> None:
    data = encode(SOURCE, DESTINATION)[:14] + tail
    try:
        header = decode(data)
    except (Partial, ValueError):
        return
    assert data[: header.size].endswith(tail[: header.size - 14])
