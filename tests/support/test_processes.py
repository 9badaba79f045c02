from __future__ import annotations

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.deadlines import eventually
from tests.support.ports import free_port
from tests.support.processes import Process

if TYPE_CHECKING:
    from pathlib import Path

LISTEN = """
import socket, sys, time
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("listening", file=sys.stderr, flush=True)
    time.sleep(60)
"""
LEAVE_A_CHILD_BEHIND = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid)
"""
IGNORE_SIGTERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""


def python(program: str, folder: Path, *arguments: str) -> Process:
    return Process([sys.executable, "-c", program, *arguments], folder, "program")


def test_a_process_is_waited_for_by_port_and_by_line(tmp_path: Path) -> None:
    port = free_port()
    with python(LISTEN, tmp_path, str(port)) as process:
        process.wait_for_port(port)
        assert process.wait_for_line("listen") == "listening"
        assert process.stop() == -signal.SIGTERM


def test_the_wait_for_a_process_that_ended_is_over(tmp_path: Path) -> None:
    with python("raise SystemExit(3)", tmp_path) as process:
        with pytest.raises(pytest.fail.Exception, match="too early, exit status 3"):
            process.wait_for_port(free_port(), seconds=60)
        with pytest.raises(pytest.fail.Exception, match="too early, exit status 3"):
            process.wait_for_line("never said", seconds=60)


def test_what_a_process_says_last_is_found(tmp_path: Path) -> None:
    with python("print('last word')", tmp_path) as process:
        assert process.wait_for_line("last") == "last word"
        assert process.wait() == 0


def test_a_wait_ends_at_its_deadline(tmp_path: Path) -> None:
    with python(LISTEN, tmp_path, str(free_port())) as process:
        with pytest.raises(pytest.fail.Exception, match=r"not within 0\.1 s"):
            process.wait_for_line("never said", seconds=0.1)
        with pytest.raises(pytest.fail.Exception, match="still runs"):
            process.wait(0.1)


def test_what_a_process_leaves_behind_is_ended(tmp_path: Path) -> None:
    with python(LEAVE_A_CHILD_BEHIND, tmp_path) as process:
        assert process.wait() == 0
        child = int(process.output())
        os.kill(child, 0)
    eventually(lambda: not is_alive(child), f"process {child} is gone")


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    process = python(IGNORE_SIGTERM, tmp_path)
    process.patience = 0.1
    with process:
        process.wait_for_line("deaf")
    assert process.poll() == -signal.SIGKILL


def test_a_process_that_has_ended_starts_again(tmp_path: Path) -> None:
    with python("import os; print(os.getpid())", tmp_path) as process:
        assert process.wait() == 0
        first = process.output()
        process.start_again()
        assert process.wait() == 0
        assert int(process.output()) == process.pid != int(first)


def test_open_descriptors_are_counted(tmp_path: Path) -> None:
    with python(LISTEN, tmp_path, str(free_port())) as process:
        process.wait_for_line("listen")
        assert process.descriptors() == 4


def test_the_output_is_shown_when_the_block_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with python("print('a clue')", tmp_path) as process:
        process.wait()
    shown = capsys.readouterr().out
    assert "a clue" in shown
    assert "exit status 0" in shown


def test_free_ports_are_free_and_distinct() -> None:
    ports = {free_port() for _ in range(20)}
    assert len(ports) == 20
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[0] != "Z"
