from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from sidecar.redirect import exclusive as module
from sidecar.redirect.backend import RedirectError
from sidecar.redirect.exclusive import exclusive
from tests.support.processes import ROOT


@pytest.fixture(autouse=True)
def own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this machine may hold the real one."""
    monkeypatch.setattr(module, "NAME", "\0sidecar.test/exclusive")


def test_a_second_one_waits_until_the_first_has_ended() -> None:
    order: list[str] = []
    begun = threading.Event()

    def second() -> None:
        begun.set()
        with exclusive(30):
            order.append("second")

    with exclusive(1):
        thread = threading.Thread(target=second)
        thread.start()
        begun.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_who_waits_in_vain_is_told() -> None:
    with (
        exclusive(1),
        pytest.raises(RedirectError, match=r"not ended in 0\.1 seconds: wait longer"),
        exclusive(0.1),
    ):
        raise AssertionError
    with exclusive(1), pytest.raises(RedirectError), exclusive(0):
        raise AssertionError


def test_what_was_killed_holds_nothing() -> None:
    script = (
        "import os, signal\n"
        "from sidecar.redirect import exclusive as module\n"
        f"module.NAME = {module.NAME!r}\n"
        "with module.exclusive(1):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert ended.returncode == -9
    with exclusive(0):
        pass


def test_what_cannot_be_locked_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NAME", "/nowhere/at/all")
    with pytest.raises(RedirectError, match="cannot lock the rules of this network"):
        exclusive(1).__enter__()
