from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

import pytest
import trio

from sidecar.telemetry.output import Output
from tests.telemetry.pipes import Pipe, no_new_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trio.testing import MockClock

LINE = b"x" * 4095 + b"\n"


@pytest.fixture(params=["own description", "poll"])
def output(request: pytest.FixtureRequest, pipe: Pipe) -> Iterator[Output]:
    opening = no_new_descriptors() if request.param == "poll" else None
    with opening or contextlib.nullcontext():
        output = Output(pipe.write_end)
    yield output
    output.close()


def test_a_full_pipe_takes_nothing_and_does_not_block(
    output: Output, pipe: Pipe
) -> None:
    assert output.try_write(LINE) == 4096
    assert output.try_write(b"more\n") == 0
    assert pipe.read() == LINE
    assert output.try_write(b"more\n") == 5


async def test_waiting_ends_when_the_pipe_has_room(output: Output, pipe: Pipe) -> None:
    output.try_write(LINE)
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(output.wait)
            await trio.testing.wait_all_tasks_blocked()
            assert nursery.child_tasks
            pipe.read()


async def test_a_reader_that_is_gone_is_an_error(output: Output, pipe: Pipe) -> None:
    output.try_write(LINE)
    pipe.close_reader()
    with trio.fail_after(1):
        await output.wait()
    with pytest.raises(BrokenPipeError):
        output.try_write(LINE)


def test_others_who_share_the_pipe_still_block(output: Output, pipe: Pipe) -> None:
    output.try_write(LINE)
    assert os.get_blocking(pipe.write_end)


def test_closing_leaves_the_shared_descriptor_open(output: Output, pipe: Pipe) -> None:
    output.close()
    output._close.clear()
    assert os.write(pipe.write_end, b"still open\n")


async def test_a_socket_is_written_without_blocking() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, contextlib.closing(Output(ours.fileno())) as output:
        while output.try_write(LINE):
            pass
        assert os.get_blocking(ours.fileno())
        with trio.move_on_after(0.01) as stalled:
            await output.wait()
        assert stalled.cancelled_caught
        theirs.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while theirs.recv(1 << 20):
                pass
        with trio.fail_after(1):
            await output.wait()
        assert output.try_write(LINE) == 4096


async def read_for_ever(fd: int) -> None:
    while True:
        await trio.lowlevel.wait_readable(fd)
        os.read(fd, 65536)


async def test_a_terminal_that_nobody_reads_does_not_block() -> None:
    controller, terminal = os.openpty()
    try:
        with contextlib.closing(Output(terminal)) as output:
            while output.try_write(LINE):
                pass
            assert os.get_blocking(terminal)
            with trio.fail_after(5):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(read_for_ever, controller)
                    await output.wait()
                    nursery.cancel_scope.cancel()
    finally:
        os.close(controller)
        os.close(terminal)


def test_a_regular_file_is_written_at_its_end(tmp_path: Path) -> None:
    with (
        (tmp_path / "log").open("ab") as file,
        contextlib.closing(Output(file.fileno())) as output,
    ):
        assert output.try_write(b"one\n") == 4
        assert output.try_write(b"two\n") == 4
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


async def test_a_full_disk_is_tried_again_later(autojump_clock: MockClock) -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        with contextlib.closing(Output(fd)) as output:
            assert output.try_write(b"one\n") == 0
            before = trio.current_time()
            await output.wait()
            assert trio.current_time() >= before + 1
    finally:
        os.close(fd)


def test_a_descriptor_that_is_not_open_is_refused() -> None:
    fd = os.open(os.devnull, os.O_WRONLY)
    os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        Output(fd)
