from __future__ import annotations

import os
import socket

from sidecar.config.model import Endpoint
from sidecar.redirect.socket_lists import read_connections, read_listeners

LOOPBACK = "127.0.0.1"


def test_who_listens_is_there_with_its_user() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        own = Endpoint(*listener.getsockname())
        (found,) = [each for each in read_listeners() if each.local == own]
    assert (found.listens, found.uid) == (True, os.geteuid())
    assert own not in [each.local for each in read_listeners()]


def test_nobody_else_is_among_those_who_listen() -> None:
    with (
        socket.create_server((LOOPBACK, 0)) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        assert all(each.listens for each in read_listeners())


def test_both_ends_of_a_connection_are_there() -> None:
    with (
        socket.create_server((LOOPBACK, 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        port = client.getsockname()[1]
        ends = {Endpoint(*client.getsockname()), Endpoint(*listener.getsockname())}
        found = [
            each for each in read_connections(port) if {each.local, each.remote} == ends
        ]
    assert len(found) == 2
