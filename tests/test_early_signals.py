from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar import early_signals

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    early_signals.asked()


@pytest.mark.parametrize("words", [[], ["check", "a.yaml"], ["--version"]])
def test_what_serves_nobody_ends_as_any_program_does(words: list[str]) -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    early_signals.prepare(words)
    assert [signal.getsignal(number) for number in NUMBERS] == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["run", "webhook"])
def test_what_has_not_begun_ends_well_and_a_hangup_is_nothing(
    command: str, number: signal.Signals
) -> None:
    script = (
        "import os, sys\n"
        "from sidecar import early_signals\n"
        f"early_signals.prepare([{command!r}])\n"
        "try:\n"
        f"    os.kill(os.getpid(), {number:d})\n"
        "    for _ in range(1000): pass\n"
        "except BaseException:\n"
        "    os._exit(3)\n"
        "os._exit(4)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert ended.returncode == (0 if number is signal.SIGTERM else 4)


@pytest.mark.parametrize("words", [["--worker", "5"], ["--worker=5"]])
def test_a_worker_leaves_signals_to_its_supervisor(words: list[str]) -> None:
    early_signals.prepare(["run", "--config", "a", *words])
    early_signals.remember()
    for number in NUMBERS:
        os.kill(os.getpid(), number)
    assert early_signals.asked() == []


def test_what_comes_before_anybody_listens_is_kept_and_given_once() -> None:
    early_signals.prepare(["run"])
    early_signals.remember()
    os.kill(os.getpid(), signal.SIGTERM)
    assert early_signals.asked() == [signal.SIGTERM]
    assert early_signals.asked() == []


def test_nothing_is_kept_where_nothing_was_prepared() -> None:
    before = signal.getsignal(signal.SIGTERM)
    early_signals.remember()
    assert signal.getsignal(signal.SIGTERM) is before


def test_it_comes_before_everything_that_takes_long() -> None:
    script = (
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import sidecar.__main__\n"
        "known = {'sys', 'os', 'signal', 'enum', '__future__', 'types'}\n"
        "slow = {'trio', 'cryptography', 'OpenSSL', 'yaml', 'argparse', 'typing'}\n"
        "assert known & sys.modules.keys() and not slow & sys.modules.keys()\n"
    )
    # -I and -S: nothing that the environment has Python import beforehand.
    subprocess.run([sys.executable, "-I", "-S", "-c", script], check=True)
