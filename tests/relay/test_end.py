"""One socket: counts, what is kept for later, and who broke."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

import pytest

from sidecar.net.sockopt import reset
from sidecar.relay.end import Broken, End
from sidecar.tls.openssl_binding import Buffer
from tests.relay.relaying import some_bytes
from tests.relay.wires import arrived, connected, fill_up

if TYPE_CHECKING:
    from collections.abc import Iterator

MUCH = some_bytes(4 << 20)
"""More than the kernel takes for a peer that does not read."""


@pytest.fixture
def pair() -> Iterator[tuple[End, socket.socket]]:
    near, far = connected(buffer=65536)
    yield End(near), far
    near.close()
    far.close()


@pytest.fixture
def tiny_pair() -> Iterator[tuple[End, socket.socket]]:
    near, far = connected(buffer=4096)
    yield End(near), far
    near.close()
    far.close()


def drain(sock: socket.socket) -> bytes:
    pieces = []
    try:
        while piece := sock.recv(1 << 20):
            pieces.append(piece)
    except BlockingIOError:
        pass
    return b"".join(pieces)


def test_what_is_received_is_counted_and_not_more_than_the_limit(
    pair: tuple[End, socket.socket],
) -> None:
    end, far = pair
    buffer = Buffer(100)
    far.send(b"some bytes")
    arrived(end.sock)
    assert end.receive(buffer, 4) == 4
    assert end.receive(buffer, 100) == 6
    assert bytes(buffer.view[:6]) == b" bytes"


def test_nothing_as_yet_is_told_from_the_end(pair: tuple[End, socket.socket]) -> None:
    end, far = pair
    buffer = Buffer(100)
    assert end.receive(buffer, 100) == -1
    far.shutdown(socket.SHUT_WR)
    arrived(end.sock)
    assert end.receive(buffer, 100) == 0


def test_what_the_socket_takes_at_once_is_not_kept(
    pair: tuple[End, socket.socket],
) -> None:
    end, far = pair
    assert end.send(memoryview(b"a few"))
    assert end.pending is None
    arrived(far)
    assert drain(far) == b"a few"


def test_the_rest_is_kept_though_the_buffer_is_used_again(
    pair: tuple[End, socket.socket],
) -> None:
    end, far = pair
    shared = bytearray(MUCH)
    assert not end.send(memoryview(shared))
    shared[:] = bytes(len(shared))
    assert end.pending is not None
    assert not end.flush(), "there is no room yet"

    came = drain(far)
    while not end.flush():
        came += drain(far)
    assert end.pending is None
    while len(came) < len(MUCH):
        came += drain(far)
    assert came == MUCH


def test_all_is_kept_where_the_socket_takes_nothing(
    tiny_pair: tuple[End, socket.socket],
) -> None:
    end, far = tiny_pair
    fill_up(end.sock)
    assert not end.send(memoryview(MUCH))
    assert end.pending is not None
    assert bytes(end.pending) == MUCH
    assert not end.flush()
    assert bytes(end.pending) == MUCH
    drain(far)


def test_with_nothing_pending_all_is_flushed(pair: tuple[End, socket.socket]) -> None:
    assert pair[0].flush()


def test_a_fin_is_sent_once(pair: tuple[End, socket.socket]) -> None:
    end, far = pair
    end.shutdown()
    arrived(far)
    assert far.recv(1) == b""
    far.close()
    end.shutdown()
    assert end.shut


@pytest.mark.parametrize("call", ["receive", "send", "flush", "shutdown"])
def test_whatever_fails_names_the_end_that_broke(
    pair: tuple[End, socket.socket], call: str
) -> None:
    end, far = pair
    end.pending = memoryview(b"left over")
    reset(far)
    arrived(end.sock, event=select.POLLHUP)
    if call == "shutdown":  # it fails only once the reset was seen by another call
        with pytest.raises(OSError, match="reset"):
            end.sock.recv(1)
    calls = {
        "receive": lambda: end.receive(Buffer(1), 1),
        "send": lambda: end.send(memoryview(b"x")),
        "flush": end.flush,
        "shutdown": end.shutdown,
    }
    with pytest.raises(Broken) as broken:
        calls[call]()
    assert broken.value.end is end
    assert str(broken.value)


def test_what_the_other_kernel_has_not_got_is_undelivered(
    pair: tuple[End, socket.socket],
) -> None:
    end, far = pair
    assert end.undelivered() == 0
    assert not end.send(memoryview(MUCH))
    taken = len(MUCH) - len(end.pending or b"")
    arrived(far)
    assert 0 < end.undelivered() < taken
