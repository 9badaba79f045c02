from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from bench.processes import Process, end_all, output_of
from bench.unmeasured import Unmeasured
from tests.support.deadlines import eventually

if TYPE_CHECKING:
    from pathlib import Path

FOREVER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(15, signal.SIG_IGN); {FOREVER}"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {FOREVER!r}])"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def group_lives(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("code", [FOREVER, STUBBORN, PARENT])
def test_nothing_is_left_of_a_process_that_was_ended(tmp_path: Path, code: str) -> None:
    process = Process(python(code), tmp_path, "p")
    eventually(lambda: "up" in process.log.read_text(), "it runs")
    process.check_running()
    end_all([process])
    eventually(lambda: not group_lives(process.pid), "its group has gone")


def test_a_process_that_ended_says_what_it_said_last(tmp_path: Path) -> None:
    process = Process(python("print('one'); exit('two')"), tmp_path, "p")
    process.join()
    with pytest.raises(Unmeasured, match=r"^p ended with status 1: two$"):
        process.check_running()


def test_a_program_that_is_not_there_is_a_reason(tmp_path: Path) -> None:
    with pytest.raises(Unmeasured, match=r"p does not start: .*no-such-program"):
        Process(["no-such-program"], tmp_path, "p")


def test_the_output_of_a_program_is_returned() -> None:
    assert output_of(python("print('done')"), 20) == "done\n"


@pytest.mark.parametrize(
    ("command", "seconds", "why"),
    [
        (python("exit('no such port')"), 20, "failed with 1: no such port"),
        (["no-such-program"], 20, "no-such-program"),
        (python(FOREVER), 0.2, "timed out"),
    ],
)
def test_a_program_that_fails_is_a_reason(
    command: list[str], seconds: float, why: str
) -> None:
    with pytest.raises(Unmeasured, match=why):
        output_of(command, seconds)
