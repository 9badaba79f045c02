from __future__ import annotations

import os
import tempfile

import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st

from sidecar.telemetry.line_writer import LineWriter
from tests.telemetry.pipes import Pipe, no_new_descriptors


class Losses:
    def __init__(self) -> None:
        self.lines = 0

    def count(self, lines: int) -> None:
        self.lines += lines


@pytest.fixture
def losses() -> Losses:
    return Losses()


def numbered(number: int, size: int = 80) -> bytes:
    return f"{number} ".encode().ljust(size - 1, b"x") + b"\n"


async def read_lines(pipe: Pipe, lines: int) -> list[bytes]:
    """Read until there are so many; every piece is looked at as it comes."""
    read: list[bytes] = []
    with trio.fail_after(5):
        while len(read) < lines:
            await trio.lowlevel.wait_readable(pipe.read_end)
            piece = pipe.read()
            assert piece.endswith(b"\n"), "a line was torn"
            read += piece.splitlines(keepends=True)
    return read


async def test_lines_come_out_whole_and_in_order(pipe: Pipe, losses: Losses) -> None:
    writer = LineWriter(pipe.write_end, losses.count)
    lines = [numbered(n, 30 + n % 400) for n in range(500)]
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        for line in lines:
            writer.put(line)
        assert await read_lines(pipe, 500) == lines
        nursery.cancel_scope.cancel()
    assert losses.lines == 0


@pytest.mark.parametrize("own_description", [True, False])
async def test_a_stalled_reader_stalls_nothing_else_and_costs_lines(
    pipe: Pipe, losses: Losses, own_description: bool
) -> None:
    writer = LineWriter(pipe.write_end, losses.count)
    async with trio.open_nursery() as nursery:
        if own_description:
            await nursery.start(writer.run)
        else:
            with no_new_descriptors():
                await nursery.start(writer.run)
        for n in range(51):
            writer.put(numbered(n))
        await trio.testing.wait_all_tasks_blocked()  # the pipe holds 51 lines
        for n in range(51, 12_000):
            writer.put(numbered(n))
            if not n % 1000:
                await trio.lowlevel.checkpoint()
        with trio.fail_after(1):
            await trio.testing.wait_all_tasks_blocked()
        queued = 12_000 - losses.lines
        assert 10_000 < queued < 10_200
        lines = await read_lines(pipe, queued)
        assert lines == [numbered(n) for n in range(queued)]
        nursery.cancel_scope.cancel()


async def test_long_lines_are_bounded_by_their_bytes(
    pipe: Pipe, losses: Losses
) -> None:
    writer = LineWriter(pipe.write_end, losses.count)
    for n in range(2000):
        writer.put(numbered(n, 4096))
    assert losses.lines == 2000 - 1024


async def test_a_slow_reader_gets_the_lines_that_come_after_the_loss(
    pipe: Pipe, losses: Losses
) -> None:
    writer = LineWriter(pipe.write_end, losses.count)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        for n in range(1100):
            writer.put(numbered(n, 4096))
        assert losses.lines == 1100 - 1024
        assert len(await read_lines(pipe, 1024)) == 1024
        writer.put(b"after\n")
        assert await read_lines(pipe, 1) == [b"after\n"]
        nursery.cancel_scope.cancel()


async def test_cancelling_writes_what_fits_and_counts_the_rest(
    pipe: Pipe, losses: Losses
) -> None:
    writer = LineWriter(pipe.write_end, losses.count)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        for n in range(10):
            writer.put(numbered(n, 1024))
        nursery.cancel_scope.cancel()
    assert pipe.read() == b"".join(numbered(n, 1024) for n in range(4))
    assert losses.lines == 6
    writer.put(b"too late\n")
    assert losses.lines == 7


async def test_a_reader_that_goes_away_ends_the_log_and_nothing_else(
    pipe: Pipe, losses: Losses
) -> None:
    writer = LineWriter(pipe.write_end, losses.count)
    pipe.close_reader()
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            writer.put(b"one\n")
            writer.put(b"two\n")
    assert losses.lines == 2
    writer.put(b"three\n")
    assert losses.lines == 3


async def test_a_reader_that_leaves_in_the_middle_is_noticed(
    pipe: Pipe, losses: Losses
) -> None:
    writer = LineWriter(pipe.write_end, losses.count)
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            for n in range(3):
                writer.put(numbered(n, 4096))
            await trio.testing.wait_all_tasks_blocked()
            pipe.close_reader()
    assert losses.lines == 2


async def test_a_closed_descriptor_only_costs_the_lines(losses: Losses) -> None:
    fd = os.open(os.devnull, os.O_WRONLY)
    os.close(fd)
    writer = LineWriter(fd, losses.count)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
    writer.put(b"one\n")
    assert losses.lines == 1


async def test_lines_wait_for_company_before_they_go(
    pipe: Pipe, losses: Losses, autojump_clock: trio.testing.MockClock
) -> None:
    writer = LineWriter(pipe.write_end, losses.count, linger=10)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        await trio.sleep(1)
        writer.put(b"one\n")
        await trio.sleep(5)
        writer.put(b"two\n")
        assert pipe.read() == b""
        await trio.sleep(6)
        assert pipe.read() == b"one\ntwo\n"
        nursery.cancel_scope.cancel()


async def test_a_full_disk_keeps_the_lines_and_counts_them_at_the_end(
    losses: Losses, autojump_clock: trio.testing.MockClock
) -> None:
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: ASYNC230, PTH123
        writer = LineWriter(full.fileno(), losses.count)
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            writer.put(b"one\n")
            await trio.sleep(10)
            assert losses.lines == 0
            nursery.cancel_scope.cancel()
    assert losses.lines == 1


async def test_a_long_queue_lets_others_run(losses: Losses) -> None:
    with tempfile.TemporaryFile() as file:
        writer = LineWriter(file.fileno(), losses.count)
        for n in range(200):
            writer.put(numbered(n, 4096))
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            sizes = []
            for _ in range(20):
                await trio.lowlevel.checkpoint()
                sizes.append(os.fstat(file.fileno()).st_size // 4096)
            nursery.cancel_scope.cancel()
    assert 0 < sizes[0] < 200
    assert sizes[-1] == 200


@given(st.lists(st.binary(max_size=4095).map(lambda b: b.replace(b"\n", b"") + b"\n")))
async def test_a_file_gets_every_line(lines: list[bytes]) -> None:
    with tempfile.TemporaryFile() as file:
        losses = Losses()
        writer = LineWriter(file.fileno(), losses.count)
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            for line in lines:
                writer.put(line)
            nursery.cancel_scope.cancel()
        file.seek(0)
        assert file.read() == b"".join(lines)
        assert losses.lines == 0


async def test_whoever_asks_waits_until_a_late_reader_has_taken_all(pipe: Pipe) -> None:
    writer = LineWriter(pipe.write_end, lambda _: None)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        line = b"x" * 1000 + b"\n"
        for _ in range(200):
            writer.put(line)
        with trio.move_on_after(0.05) as patience:
            await writer.sent()
        assert patience.cancelled_caught
        read = b""
        with trio.fail_after(5):
            while len(read) < 200 * len(line):
                read += pipe.read()
                await trio.lowlevel.checkpoint()
            await writer.sent()
        nursery.cancel_scope.cancel()
    assert read == line * 200


async def test_nobody_waits_for_a_reader_that_is_gone(pipe: Pipe) -> None:
    writer = LineWriter(pipe.write_end, lambda _: None)
    pipe.close_reader()
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        writer.put(b"line\n")
        with trio.fail_after(5):
            await writer.sent()
