from __future__ import annotations

import socket
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import trio
from attrs import evolve

from sidecar.admin.http import HttpLimits
from sidecar.admin.messages import Request, Response, text
from sidecar.binding import BindError, bind, bind_http, place, start_http
from sidecar.config.model import Config, Endpoint, Identity, UnixSocket
from tests.net.capabilities import no_capabilities

ANY = Endpoint("127.0.0.1", 0)
CONFIG = evolve(Config(Identity(Path("a"), Path("b"), {})), telemetry=ANY, admin=ANY)


def test_what_goes_wrong_is_one_sentence_with_its_place() -> None:
    with pytest.raises(BindError) as error, place("a.b", "there"):
        raise PermissionError(13, "Permission denied")
    expected = "a.b: cannot listen there, permission denied, got 'there'"
    assert str(error.value) == expected
    with pytest.raises(BindError, match="cannot listen there, odd, got"), place("a", 1):
        raise OSError("odd")


def test_a_socket_is_closed_at_the_end() -> None:
    with ExitStack() as stack:
        sock = bind("a", ANY, stack)
        there = Endpoint("127.0.0.1", sock.getsockname()[1])
        with pytest.raises(BindError, match=r"b: .* in use"):
            bind("b", there, stack)
    assert sock.fileno() == -1


def test_the_port_that_the_kernel_chose_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO"), ExitStack() as stack:
        port = bind("a.listen", ANY, stack).getsockname()[1]
        bind("b.listen", Endpoint("127.0.0.2", port), stack)
    said = [vars(each) for each in caplog.records]
    assert [(each["key"], each["address"]) for each in said] == [
        ("a.listen", f"127.0.0.1:{port}")
    ]


def test_a_transparent_socket_takes_a_capability_and_the_sentence_says_which() -> None:
    with ExitStack() as stack, no_capabilities(), pytest.raises(BindError) as error:
        bind("a", ANY, stack, transparent=True)
    assert str(error.value) == (
        "a: cannot listen there, transparent needs the capability net_admin or "
        f"net_raw, got '{ANY}'"
    )


def test_a_port_that_takes_a_capability_says_which() -> None:
    low = Endpoint("127.0.0.1", 443)
    with pytest.raises(BindError) as error, place("a.listen", low):
        raise PermissionError(13, "Permission denied")
    assert str(error.value) == (
        "a.listen: cannot listen there, permission denied (a port this low takes the "
        "capability net_bind_service, or a lower sysctl "
        "net.ipv4.ip_unprivileged_port_start), got '127.0.0.1:443'"
    )


def test_http_may_be_on_two_ports_or_on_a_unix_socket(tmp_path: Path) -> None:
    with ExitStack() as stack:
        telemetry, admin = bind_http(CONFIG, stack)
        assert (telemetry.family, admin.family) == (socket.AF_INET, socket.AF_INET)
    path = tmp_path / "admin"
    on_unix = evolve(CONFIG, admin=UnixSocket(path))
    with ExitStack() as stack:
        assert bind_http(on_unix, stack)[1].family == socket.AF_UNIX
        assert path.exists()
    assert not path.exists()
    path.write_text("taken")
    with ExitStack() as stack, pytest.raises(BindError, match=r"admin\.listen"):
        bind_http(on_unix, stack)


def _say(name: str, _request: Request) -> Response:
    return text(name)


async def test_each_handler_answers_on_its_socket() -> None:
    with ExitStack() as stack:
        pair = bind_http(CONFIG, stack)
        ports = [sock.getsockname()[1] for sock in pair]
        handlers = [
            (sock, partial(_say, name), HttpLimits())
            for sock, name in zip(pair, ("one", "two"), strict=True)
        ]
        async with trio.open_nursery() as nursery:
            await start_http(nursery, handlers)
            for port, name in zip(ports, (b"one", b"two"), strict=True):
                with trio.socket.socket() as sock:
                    await sock.connect(("127.0.0.1", port))
                    await sock.send(b"GET / HTTP/1.0\r\n\r\n")
                    answer = b""
                    while piece := await sock.recv(4096):
                        answer += piece
                assert answer.endswith(name + b"\n")
            nursery.cancel_scope.cancel()
