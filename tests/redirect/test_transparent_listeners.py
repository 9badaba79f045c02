"""What Linux says is read off the machine that runs the tests; tests/netns has TPROXY."""

from __future__ import annotations

import os
import socket
import struct

import pytest
from hypothesis import given, strategies as st

from sidecar.net.transparent import make_transparent
from sidecar.redirect.transparent_listeners import (
    DiagError,
    ended,
    parse_diag,
    transparent_listeners,
)


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def told(inode: int, *attributes: bytes) -> bytes:
    return message(20, bytes(68) + struct.pack("=I", inode) + b"".join(attributes))


def attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


DONE = message(3, bytes(4))
OPTIONS = attribute(22, b"\x02\x00")
BOTH = told(7, attribute(8, b"\x00"), OPTIONS) + told(9, OPTIONS) + DONE


def test_every_listener_is_told() -> None:
    assert parse_diag(BOTH) == {7: False, 9: False}
    assert ended(BOTH)
    assert not ended(BOTH[: -len(DONE)])
    assert ended(b"")


def test_a_kernel_that_refuses_or_is_too_old_does_not_tell() -> None:
    with pytest.raises(DiagError, match="refused"):
        ended(message(2, bytes(20)))
    with pytest.raises(DiagError, match="nothing is told"):
        parse_diag(told(7, attribute(8, b"\x00")))
    with pytest.raises(DiagError, match="a socket of 4 bytes"):
        parse_diag(message(20, bytes(4)))
    with pytest.raises(DiagError, match="an attribute of 0 bytes"):
        parse_diag(told(7, bytes(4)))


def test_what_is_cut_off_is_refused() -> None:
    whole = {0, len(BOTH)} | {len(told(7, attribute(8, b"\x00"), OPTIONS))}
    whole.add(len(BOTH) - len(DONE))
    for end in {*range(len(BOTH))} - whole:
        with pytest.raises(DiagError):
            parse_diag(BOTH[:end])


@given(st.binary(), st.binary())
def test_any_bytes_are_read_or_refused(data: bytes, body: bytes) -> None:
    for text in (data, message(20, body), told(7, body)):
        try:
            parse_diag(text)
        except DiagError:
            continue


def test_the_kernel_tells_of_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        inode = os.fstat(listener.fileno()).st_ino
        found = transparent_listeners()
        assert found is not None
        assert inode not in found
        if os.geteuid() == 0:
            make_transparent(listener)
            found = transparent_listeners()
            assert found is not None
            assert inode in found
