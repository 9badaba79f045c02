from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from sidecar.demo import command
from sidecar.demo.command import _unwound_by_signals, _wait

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _handlers_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    after = {number: signal.getsignal(number) for number in NUMBERS}
    for number in NUMBERS:
        signal.signal(number, before[number])
    assert after == before


@pytest.mark.parametrize("number", NUMBERS)
def test_any_signal_unwinds_and_the_cleaning_up_is_not_disturbed(
    number: signal.Signals,
) -> None:
    cleaned = False
    with pytest.raises(KeyboardInterrupt), _unwound_by_signals():  # noqa: PT012
        try:
            os.kill(os.getpid(), number)
            threading.Event().wait(10)
        finally:
            for again in NUMBERS:
                os.kill(os.getpid(), again)
            cleaned = True
    assert cleaned


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _unwound_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_waiting_ends_with_a_signal() -> None:
    with _unwound_by_signals():
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        _wait()
        timer.join()


def test_without_rich_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "sidecar.demo.show", raising=False)
    monkeypatch.delattr("sidecar.demo.show", raising=False)
    monkeypatch.setitem(sys.modules, "rich", None)
    assert command.main(argparse.Namespace(keep=False)) == 1
    assert capsys.readouterr() == (
        "",
        "sidecar demo: needs rich; install it: pip install 'sidecar[demo]'\n",
    )
