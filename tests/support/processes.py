"""Real processes with a log of their own, which never outlive the test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.support.deadlines import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

ROOT = Path(__file__).parents[2]

_TAIL = 4000


class Process:
    """A program that runs as long as the `with` block lasts.

    Standard output goes to `NAME.out` and standard error to `NAME.err` in `folder`.
    Leaving the block ends the process and everything that it started, and prints the
    end of both files, which pytest shows when the test failed.
    """

    patience: float = 5
    """Seconds between SIGTERM and SIGKILL when the block ends."""

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.command = [str(word) for word in command]
        self.name = name or Path(self.command[0]).name
        self.stdout = folder / f"{self.name}.out"
        self.stderr = folder / f"{self.name}.err"
        self._env = None if env is None else dict(env)
        self._popen: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the program, from the root of the checkout."""
        with self.stdout.open("wb") as stdout, self.stderr.open("wb") as stderr:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=ROOT,
                env=self._env,
                # A group of its own, so that no worker of it is left behind.
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process, however the block ended."""
        self._end()
        print(self.report())  # noqa: T201  pytest captures it, and shows it for failures

    def start_again(self) -> None:
        """Start it once more, after it has ended; its output begins anew."""
        self.wait()
        self.__enter__()

    @property
    def pid(self) -> int:
        return self._started().pid

    def poll(self) -> int | None:
        """Give the exit status, or None while the process runs."""
        return self._started().poll()

    def signal(self, number: signal.Signals) -> None:
        self._started().send_signal(number)

    def descriptors(self) -> int:
        """Count its open file descriptors."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def wait(self, seconds: float = 10) -> int:
        """Give the exit status, at the latest after so long."""
        try:
            return self._started().wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.name} still runs after {seconds:g} s")

    def stop(self, seconds: float = 10) -> int:
        """Ask it to end as an orchestrator does, and give the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait_for_port(
        self, port: int, host: str = "127.0.0.1", seconds: float = 10
    ) -> None:
        """Return when the port accepts a connection; fail when the process ends."""

        def accepts() -> bool:
            self.check_running()
            try:
                socket.create_connection((host, port), timeout=1).close()
            except OSError:
                return False
            return True

        eventually(accepts, f"{self.name} listens on {host}:{port}", seconds)

    def wait_for_line(self, text: str, seconds: float = 10) -> str:
        """Give the first line of its output or errors that contains the text."""

        def line() -> str | None:
            # Before the look: what a process says last, it says before it ends.
            ended = self.poll() is not None
            for candidate in self.output().splitlines() + self.errors().splitlines():
                if text in candidate:
                    return candidate
            if ended:
                self.check_running()
            return None

        return eventually(line, f"{self.name} says {text!r}", seconds)

    def output(self) -> str:
        return self.stdout.read_text(errors="replace")

    def errors(self) -> str:
        return self.stderr.read_text(errors="replace")

    def report(self) -> str:
        """Give the command, its state and the end of what it said."""
        status = self.poll()
        state = "running" if status is None else f"exit status {status}"
        return (
            f"--- {' '.join(self.command)} ({state})\n"
            f"--- {self.stdout}\n{self.output()[-_TAIL:]}\n"
            f"--- {self.stderr}\n{self.errors()[-_TAIL:]}"
        )

    def _started(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise RuntimeError(f"{self.name}: use it in a with statement")
        return self._popen

    def check_running(self) -> None:
        if self.poll() is not None:
            pytest.fail(f"{self.name} ended too early, exit status {self.poll()}")

    def _end(self) -> None:
        popen = self._started()
        if popen.poll() is None:
            popen.terminate()
            try:
                popen.wait(self.patience)
            except subprocess.TimeoutExpired:
                popen.kill()
        # What it started and left behind; its group lives while any of them does.
        with suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()
