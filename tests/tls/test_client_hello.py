from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, strategies as st
from OpenSSL import SSL

from sidecar.tls.client_hello import (
    LIMIT,
    NEED_MORE,
    ClientHello,
    NotTls,
    Sniffer,
    Undecided,
    sniff,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MESH = b"sidecar-mtls/1"
NOT_TLS = NotTls()


def real_hello(
    *, version: int | None = None, alpn: Sequence[bytes] = (), name: bytes = b""
) -> bytes:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if version is not None:
        context.set_max_proto_version(version)
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    if name:
        connection.set_tlsext_host_name(name)
    if alpn:
        connection.set_alpn_protos(list(alpn))
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(LIMIT)


REAL = {
    "1.3": (real_hello(), ()),
    "1.3 sni": (real_hello(name=b"api.shop.svc"), ()),
    "1.3 alpn": (real_hello(alpn=[MESH]), (MESH,)),
    "1.3 two protocols": (real_hello(alpn=[b"h2", MESH]), (b"h2", MESH)),
    "1.2": (real_hello(version=SSL.TLS1_2_VERSION), ()),
    "1.2 alpn": (
        real_hello(version=SSL.TLS1_2_VERSION, alpn=[b"h2", b"http/1.1"]),
        (b"h2", b"http/1.1"),
    ),
}

real = pytest.mark.parametrize(("hello", "alpn"), REAL.values(), ids=REAL)


def vector(size: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return len(content).to_bytes(size, "big") + content


def extension(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(2, body)


def alpn_of(*names: bytes) -> bytes:
    return extension(16, vector(2, *(vector(1, name) for name in names)))


def body_of(*extensions: bytes, suites: int = 2) -> bytes:
    """A ClientHello's body, with an extensions field even if there are none."""
    return b"".join(
        [
            b"\3\3" + bytes(32),
            vector(1, bytes(32)),
            vector(2, bytes(suites)),
            vector(1, b"\0"),
            vector(2, *extensions),
        ]
    )


def message(body: bytes, kind: int = 1) -> bytes:
    return bytes([kind]) + vector(3, body)


def records(data: bytes, size: int = 16384) -> bytes:
    return b"".join(
        b"\x16\3\1" + vector(2, data[begin : begin + size])
        for begin in range(0, len(data), size)
    )


# --- real ones


@real
def test_a_real_hello_is_read(hello: bytes, alpn: tuple[bytes, ...]) -> None:
    assert sniff(hello) == ClientHello(alpn)


def test_a_hello_with_a_post_quantum_key_share_is_long() -> None:
    hello, _ = REAL["1.3"]
    assert 1500 < len(hello) < LIMIT  # so it comes in two segments


@real
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100, 1000, 16384])
def test_records_may_cut_it_anywhere(
    hello: bytes, alpn: tuple[bytes, ...], size: int
) -> None:
    assert sniff(records(hello[5:], size)) == ClientHello(alpn)


@real
def test_every_prefix_needs_more_until_it_decides(
    hello: bytes, alpn: tuple[bytes, ...]
) -> None:
    answers = [sniff(hello[:end]) for end in range(len(hello) + 1)]
    assert answers == [NEED_MORE] * len(hello) + [ClientHello(alpn)]


@real
@pytest.mark.parametrize("size", [1, 7])
def test_in_many_records_every_byte_needs_more_until_the_last(
    hello: bytes, alpn: tuple[bytes, ...], size: int
) -> None:
    data = records(hello[5:], size)
    sniffer = Sniffer()
    answers = [sniffer.feed(data[at : at + 1]) for at in range(len(data))]
    assert answers == [NEED_MORE] * (len(data) - 1) + [ClientHello(alpn)]


@real
@given(suffix=st.binary(max_size=64))
def test_what_follows_has_no_say(
    hello: bytes, alpn: tuple[bytes, ...], suffix: bytes
) -> None:
    assert sniff(hello + suffix) == ClientHello(alpn)


@pytest.mark.parametrize(
    "early",
    [b"\x14\3\3\0\1\1", b"\x17\3\3\0\5early", b"\x16\3\3\0\4\2\0\0\0", b"GET / HTTP"],
)
def test_early_data_behind_it_does_not_hide_a_hello(early: bytes) -> None:
    hello, alpn = REAL["1.3 alpn"]
    assert sniff(hello + early) == ClientHello(alpn)


# --- made ones


MADE = {
    "no extensions": (body_of()[:-2], ()),
    "none of them": (body_of(), ()),
    "no protocol": (body_of(alpn_of()), ()),
    "ours": (body_of(alpn_of(MESH)), (MESH,)),
    "among others": (
        body_of(extension(0, b"sni"), alpn_of(b"h2"), extension(43, b"")),
        (b"h2",),
    ),
    "twice": (body_of(alpn_of(b"a"), alpn_of(b"b")), (b"a", b"b")),
    "the longest": (body_of(alpn_of(b"\xff" * 255)), (b"\xff" * 255,)),
    "many suites": (body_of(suites=16000), ()),
}


@pytest.mark.parametrize(("body", "alpn"), MADE.values(), ids=MADE)
def test_a_made_hello_is_read(body: bytes, alpn: tuple[bytes, ...]) -> None:
    assert sniff(records(message(body))) == ClientHello(alpn)


NO_HELLOS = {
    "a letter": b"G",
    "a zero": b"\0",
    "an alert": b"\x15\3\3\0\2\2\x28",
    "a hello of SSL 2": b"\x80\x2e\1\0\2",
    "major version 2": b"\x16\2",
    "major version 4": b"\x16\4\1",
    "an empty record": b"\x16\3\1\0\0",
    "a record too long": b"\x16\3\1\x40\1",
    "a ServerHello": b"\x16\3\1\0\1\2",
    "longer than the limit": b"\x16\3\1\0\4\1\0\x40\1",
    "an empty record in between": b"\x16\3\1\0\5\1\0\x3f\xff\3\x16\3\1\0\0",
    "data in between": b"\x16\3\1\0\5\1\0\x3f\xff\3\x17",
    "an empty message": records(message(b"")),
    "half a random": records(message(b"\3\3" + bytes(31))),
    "more than extensions": records(message(body_of() + b"\0")),
    "extensions beyond their length": records(message(body_of() + alpn_of(MESH))),
    "half a length of extensions": records(message(body_of()[:-1])),
    "less than its extensions": records(message(body_of(extension(0, b"a"))[:-1])),
    "half an extension": records(message(body_of(b"\0"))),
    "an extension cut": records(message(body_of(extension(0, b"sni")[:-1]))),
    "half a length of protocols": records(message(body_of(extension(16, b"\0")))),
    "fewer protocols": records(message(body_of(extension(16, b"\0\4\3ab")))),
    "a protocol cut": records(message(body_of(extension(16, b"\0\3\3ab")))),
}


@pytest.mark.parametrize("data", NO_HELLOS.values(), ids=NO_HELLOS)
def test_what_can_be_no_hello_is_not_tls(data: bytes) -> None:
    assert sniff(data) == NOT_TLS


@pytest.mark.parametrize("first", [b for b in range(256) if b != 22])
def test_the_first_byte_of_plaintext_decides(first: int) -> None:
    assert sniff(bytes([first])) == NOT_TLS


def test_nothing_decides_nothing() -> None:
    assert sniff(b"") is NEED_MORE


# --- the limit


def test_a_hello_may_fill_the_limit_to_the_last_byte() -> None:
    room = LIMIT - len(records(message(body_of(suites=0))))
    hello = records(message(body_of(suites=room)))
    assert len(hello) == LIMIT
    assert sniff(hello) == ClientHello(())
    assert sniff(hello[:-1]) is NEED_MORE


def test_a_hello_beyond_the_limit_is_none() -> None:
    room = LIMIT - len(records(message(body_of(suites=0))))
    hello = records(message(body_of(suites=room + 1)))
    assert len(hello) == LIMIT + 1
    assert sniff(hello[: LIMIT - 1]) is NEED_MORE
    assert sniff(hello[:LIMIT]) == NOT_TLS
    assert sniff(hello) == NOT_TLS


def test_one_in_very_many_records_meets_the_limit_too() -> None:
    data = records(message(body_of(suites=4000)), size=1)
    assert sniff(data[: LIMIT - 1]) is NEED_MORE
    assert sniff(data[:LIMIT]) == NOT_TLS
    assert sniff(data) == NOT_TLS


# --- any bytes


def near_hellos() -> st.SearchStrategy[bytes]:
    """Bytes that get far: a hello that somebody cut and changed."""
    whole = st.builds(
        records,
        st.builds(message, st.sampled_from([h[9:] for h, _ in REAL.values()])),
        st.sampled_from([16384, 200, 3]),
    )
    edits = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=3)

    def edit(data: bytes, changes: list[tuple[int, int]], end: int) -> bytes:
        changed = bytearray(data)
        for at, value in changes:
            changed[at % len(changed)] = value
        return bytes(changed[: end % (len(changed) + 1)])

    return st.builds(edit, whole, edits, st.integers(0, 8000))


ANY = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=300).map(records),
    st.binary(max_size=300).map(lambda body: records(message(body))),
    near_hellos(),
)


@given(ANY)
def test_any_bytes_give_an_answer(data: bytes) -> None:
    assert isinstance(sniff(data), ClientHello | NotTls | Undecided)


@given(ANY, st.binary(max_size=40))
def test_an_answer_never_changes(data: bytes, more: bytes) -> None:
    first = sniff(data)
    assume(first is not NEED_MORE)
    assert sniff(data + more) == first


@given(ANY, st.lists(st.integers(1, 400), max_size=40))
def test_it_makes_no_difference_in_which_pieces_they_come(
    data: bytes, sizes: list[int]
) -> None:
    sniffer = Sniffer()
    rest = data
    for size in [*sizes, len(data)]:
        sniffer.feed(rest[:size])
        rest = rest[size:]
    assert not rest
    assert sniffer.feed(b"") == sniff(data)


@given(st.lists(st.binary(max_size=255), max_size=4))
def test_protocols_are_read_as_they_were_written(names: list[bytes]) -> None:
    assert sniff(records(message(body_of(alpn_of(*names))))) == ClientHello(
        tuple(names)
    )


# --- the cost


def calls_byte_by_byte(data: bytes) -> int:
    """Count the function calls that feeding *data* one by one takes."""
    sniffer = Sniffer()
    count = 0

    def called(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        for at in range(len(data)):
            sniffer.feed(data[at : at + 1])
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("size", [1, 16384])
def test_byte_by_byte_the_cost_grows_with_the_length_alone(size: int) -> None:
    data = records(message(body_of(suites=500)), size)
    half = len(data) // 2
    assert calls_byte_by_byte(data) < 2.5 * calls_byte_by_byte(data[:half])
