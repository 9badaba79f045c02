from __future__ import annotations

import json
import logging
import os
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from sidecar.config.model import LogLevel
from sidecar.telemetry.line_writer import LineWriter
from sidecar.telemetry.log import LogHandler, configure, current_level, set_level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.telemetry.pipes import Pipe

logger = logging.getLogger("sidecar.somewhere")


@pytest.fixture
def handler(pipe: Pipe) -> Iterator[LogHandler]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield configure(LogLevel.INFO, fd=pipe.write_end)
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(pipe: Pipe) -> list[dict[str, Any]]:
    return [json.loads(line) for line in pipe.read().splitlines()]


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.usefixtures("handler")
class TestLines:
    def test_an_event_is_one_line_with_what_belongs_to_it(self, pipe: Pipe) -> None:
        logger.info("policy loaded", extra={"rules": 3, "file": "policy.yaml"})
        (line,) = lines(pipe)
        assert line.pop("time").endswith("Z")
        assert line == {
            "level": "info",
            "event": "policy loaded",
            "rules": 3,
            "file": "policy.yaml",
        }

    def test_arguments_are_put_into_the_event(self, pipe: Pipe) -> None:
        logger.warning("%d of %s", 3, "rules")
        assert lines(pipe)[0]["event"] == "3 of rules"

    def test_an_exception_is_one_field(self, pipe: Pipe) -> None:
        error = ValueError("line one\nline two")
        logger.error("connection failed", exc_info=error)
        (line,) = lines(pipe)
        assert line["level"] == "error"
        assert line["traceback"].startswith("ValueError")
        assert line["traceback"].endswith("ValueError: line one\nline two")

    def test_no_exception_at_hand_is_no_field(self, pipe: Pipe) -> None:
        logger.error("nothing raised", exc_info=True)  # noqa: LOG014 - the case
        assert "traceback" not in lines(pipe)[0]

    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (1.5, 1.5),
            (True, True),
            (None, None),
            (2**70, str(2**70)),
            pytest.param(10**5000, "<int>", id="huge"),
            (float("nan"), "nan"),
            (float("inf"), "inf"),
            (b"\xff", r"b'\xff'"),
            (("a", 1), "('a', 1)"),
            (Unprintable(), "<Unprintable>"),
        ],
    )
    def test_any_value_can_be_logged(
        self, pipe: Pipe, value: object, written: object
    ) -> None:
        logger.info("event", extra={"value": value})
        assert lines(pipe)[0]["value"] == written

    def test_extra_values_cannot_hide_what_happened(self, pipe: Pipe) -> None:
        logger.info("real", extra={"event": "fake", "level": "fake", "time": "fake"})
        (line,) = lines(pipe)
        assert (line["event"], line["level"]) == ("real", "info")
        assert line["time"] != "fake"

    def test_hostile_text_stays_on_its_line(self, pipe: Pipe) -> None:
        logger.info("a\nb", extra={"peer": "\x1b[2J\n{}"})
        raw = pipe.read()
        assert raw.count(b"\n") == 1
        assert b"\x1b" not in raw

    def test_a_long_traceback_is_cut_to_one_write(self, pipe: Pipe) -> None:
        logger.info("long", extra={"text": "x" * 100_000})
        assert len(pipe.read()) <= 4096

    def test_pythons_warnings_are_logged(self, pipe: Pipe) -> None:
        warnings.showwarning("odd", UserWarning, "here.py", 1)
        (line,) = lines(pipe)
        assert line["level"] == "warning"
        assert "odd" in line["event"]

    def test_the_level_holds_and_can_change(self, pipe: Pipe) -> None:
        logger.debug("not yet")
        set_level(LogLevel.DEBUG)
        assert current_level() is LogLevel.DEBUG
        logger.debug("now")
        set_level(LogLevel.ERROR)
        logger.warning("not any more")
        assert [line["event"] for line in lines(pipe)] == ["now"]

    def test_a_reader_that_is_gone_disturbs_nobody(self, pipe: Pipe) -> None:
        pipe.close_reader()
        logger.error("into the void")


@pytest.mark.parametrize(
    ("message", "written"),
    [(Unprintable(), "<Unprintable>"), ("%d of them", "%d of them")],
)
def test_a_message_that_cannot_be_made_is_still_a_line(
    pipe: Pipe, handler: LogHandler, message: object, written: str
) -> None:
    handler.emit(logging.makeLogRecord({"msg": message, "args": ("many",)}))
    assert lines(pipe)[0]["event"] == written


async def test_in_the_event_loop_a_stalled_reader_stalls_nothing(
    pipe: Pipe, handler: LogHandler
) -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(handler.run)
            for n in range(11_000):
                logger.info("event", extra={"n": n})
            await trio.testing.wait_all_tasks_blocked()
            first = lines(pipe)
            assert [line["n"] for line in first] == list(range(len(first)))
            nursery.cancel_scope.cancel()


async def test_the_next_line_tells_how_many_were_lost(
    pipe: Pipe, handler: LogHandler
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(handler.run)
        for _ in range(10_100):
            logger.info("event")
        read: list[dict[str, Any]] = []
        with trio.fail_after(5):
            while len(read) < 10_000:
                await trio.lowlevel.wait_readable(pipe.read_end)
                read += lines(pipe)
        logger.info("after")
        await trio.testing.wait_all_tasks_blocked()
        (after,) = lines(pipe)
        assert after["lost"] == 100
        nursery.cancel_scope.cancel()


async def test_other_threads_log_through_the_same_queue(
    pipe: Pipe, handler: LogHandler
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(handler.run)
        await trio.to_thread.run_sync(logger.info, "from a thread")
        with trio.fail_after(5):
            await trio.lowlevel.wait_readable(pipe.read_end)
        assert lines(pipe)[0]["event"] == "from a thread"
        nursery.cancel_scope.cancel()


async def test_after_the_loop_lines_are_written_at_once(
    pipe: Pipe, handler: LogHandler
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(handler.run)
        nursery.cancel_scope.cancel()
    logger.info("goodbye")
    assert lines(pipe)[0]["event"] == "goodbye"


def test_a_thread_that_outlives_the_loop_can_log(
    pipe: Pipe, handler: LogHandler
) -> None:
    async def left_running() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await handler.run()

    trio.run(left_running)  # noqa: TID251 - the loop has to end inside the test
    thread = threading.Thread(target=logger.info, args=["late"])
    thread.start()
    thread.join()
    assert lines(pipe)[0]["event"] == "late"


def test_a_thread_that_loses_the_race_with_the_end_of_the_loop_can_log(
    pipe: Pipe, handler: LogHandler
) -> None:
    async def token() -> trio.lowlevel.TrioToken:
        return trio.lowlevel.current_trio_token()

    # What emit still sees when the loop ends under it.
    handler._loop = trio.run(token)  # noqa: TID251 - the loop has to end here
    handler._writer = LineWriter(pipe.write_end, print)
    logger.info("just too late")
    assert lines(pipe)[0]["event"] == "just too late"


@pytest.mark.usefixtures("handler")
def test_before_the_loop_a_stalled_reader_costs_patience_but_not_for_ever(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidecar.telemetry.log._PATIENCE_MILLISECONDS", 1)
    os.write(pipe.write_end, b"x" * 4096)
    logger.info("lost")
    assert pipe.read() == b"x" * 4096


def test_a_closed_descriptor_is_no_error(handler: LogHandler) -> None:
    fd = os.open(os.devnull, os.O_WRONLY)
    os.close(fd)
    handler._fd = fd
    logger.error("nowhere to go")
