"""Processes that never outlive the benchmark, and what they said before they ended."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from bench.unmeasured import Unmeasured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PATIENCE_SECONDS: Final = 2.0
_LONGEST_REASON: Final = 160


class Process:
    """A program that runs until `end` and `join`, with its output in a log file.

    It leads a group of its own: Ctrl-C in a terminal does not reach it, and none of
    its workers is left behind.

    Raises:
        Unmeasured: It cannot be started.
    """

    def __init__(self, command: Sequence[str | Path], folder: Path, name: str) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            try:
                self._popen = subprocess.Popen(
                    [str(word) for word in command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise Unmeasured(f"{name} does not start: {error}") from error

    @property
    def pid(self) -> int:
        return self._popen.pid

    def check_running(self) -> None:
        """Do nothing while it runs.

        Raises:
            Unmeasured: It has ended; with the last line of what it said.
        """
        status = self._popen.poll()
        if status is not None:
            raise Unmeasured(f"{self.name} ended with status {status}{self._because()}")

    def signal(self, number: signal.Signals) -> None:
        """Send it *number*; the rest of its group does not get it."""
        self._popen.send_signal(number)

    def end(self) -> None:
        """Ask it to end, without waiting."""
        if self._popen.poll() is None:
            self._popen.terminate()

    def join(self) -> None:
        """Wait until it has ended, not for long, and see to all that it started."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(_PATIENCE_SECONDS)
        # The group lives while any process of it does.
        with suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def _because(self) -> str:
        lines = self.log.read_text(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f": {said[-1][:_LONGEST_REASON]}" if said else ""


def end_all(processes: Sequence[Process]) -> None:
    """End them all at once, and return when none is left."""
    for process in processes:
        process.end()
    for process in processes:
        process.join()


def output_of(command: Sequence[str | Path], seconds: float) -> str:
    """Run a program to its end and return what it printed.

    Raises:
        Unmeasured: It cannot be started, fails, or takes longer than *seconds*.
    """
    words = [str(word) for word in command]
    try:
        with subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, errors = process.communicate(timeout=seconds)
            except BaseException:
                process.kill()
                raise
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unmeasured(f"{words[0]}: {error}") from error
    if process.returncode:
        said = (errors or output).strip().split("\n")[-1]
        raise Unmeasured(f"{words[0]} failed with {process.returncode}: {said}")
    return output
