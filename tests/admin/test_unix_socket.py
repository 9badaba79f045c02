from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest
import trio

from sidecar.admin.accept import serve, stream_listener
from sidecar.admin.unix_socket import bound
from tests.admin.talking import GET, answers, echo, read_all

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "admin.sock"


def leave_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def test_only_the_owner_may_connect(path: Path) -> None:
    umask = os.umask(0)
    try:
        with bound(path):
            assert stat.filemode(path.lstat().st_mode) == "srw-------"
    finally:
        os.umask(umask)


def test_the_file_is_gone_at_the_end(path: Path) -> None:
    with bound(path):
        assert path.is_socket()
    assert not path.exists()


def test_a_file_that_is_gone_already_is_no_error(path: Path) -> None:
    with bound(path):
        path.unlink()


def test_what_a_dead_process_left_is_replaced(path: Path) -> None:
    leave_stale(path)
    with bound(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_process_that_answers_keeps_its_socket(path: Path) -> None:
    with bound(path), pytest.raises(OSError, match="answers there"), bound(path):
        raise AssertionError("must not be bound")
    assert not path.exists()


def test_a_process_whose_backlog_is_full_keeps_its_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock, socket.socket(socket.AF_UNIX) as first:
        sock.bind(str(path))
        sock.listen(0)
        first.connect(str(path))
        with pytest.raises(OSError, match="answers there"), bound(path):
            raise AssertionError("must not be bound")
        assert path.is_socket()


def test_what_is_not_a_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(FileExistsError, match="not a socket"), bound(path):
        raise AssertionError("must not be bound")
    assert path.read_text() == "precious"


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    leave_stale(tmp_path / "other")
    path.symlink_to(tmp_path / "other")
    with pytest.raises(FileExistsError, match="not a socket"), bound(path):
        raise AssertionError("must not be bound")


def test_the_socket_of_a_successor_is_left_alone(path: Path) -> None:
    with bound(path):
        path.unlink()
        leave_stale(path)
    assert path.is_socket()


def test_a_missing_directory_is_an_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError), bound(path / "x"):
        raise AssertionError("must not be bound")


async def test_http_is_served_on_it(path: Path) -> None:
    with bound(path) as sock:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, [stream_listener(sock)], echo)
            stream = await trio.open_unix_socket(path)
            await stream.send_all(GET)
            await stream.send_eof()
            assert answers(await read_all(stream))[0].status == 200
            await stream.aclose()
            nursery.cancel_scope.cancel()
