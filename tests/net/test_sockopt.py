from __future__ import annotations

import socket

import pytest
import trio

from sidecar.net.sockopt import guard, reset, was_reset
from tests.net.sockets import tcp_pair


def test_small_writes_go_at_once_and_a_vanished_peer_is_noticed() -> None:
    with socket.socket() as sock:
        guard(sock)
        tcp = socket.IPPROTO_TCP
        assert sock.getsockopt(tcp, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle = sock.getsockopt(tcp, socket.TCP_KEEPIDLE)
        interval = sock.getsockopt(tcp, socket.TCP_KEEPINTVL)
        probes = sock.getsockopt(tcp, socket.TCP_KEEPCNT)
        assert (idle, idle + interval * probes) == (60, 120)


async def test_the_peer_of_a_reset_sees_no_end() -> None:
    with tcp_pair() as (sock, peer):
        reset(sock)
        assert sock.fileno() == -1
        await trio.lowlevel.wait_readable(peer)
        with pytest.raises(ConnectionResetError):
            peer.recv(1)


async def test_the_peer_of_a_close_sees_an_end() -> None:
    # What `reset` is for: without it this is what a peer sees.
    with tcp_pair() as (sock, peer):
        sock.close()
        await trio.lowlevel.wait_readable(peer)
        assert peer.recv(1) == b""


async def test_a_reset_is_known_before_what_was_sent_is_read() -> None:
    with tcp_pair() as (sock, peer):
        assert not was_reset(sock)
        peer.send(b"last words")
        reset(peer)
        await trio.lowlevel.wait_readable(sock)
        while not was_reset(sock):
            await trio.lowlevel.checkpoint()
        assert sock.recv(99) == b"last words"


async def test_an_end_is_no_reset() -> None:
    with tcp_pair() as (sock, peer):
        peer.close()
        await trio.lowlevel.wait_readable(sock)
        assert not was_reset(sock)


def test_a_reset_may_come_twice_and_after_the_peer_s() -> None:
    with tcp_pair() as (sock, peer):
        reset(peer)
        reset(sock)
        reset(sock)
        assert sock.fileno() == -1
