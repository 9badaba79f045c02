"""`sidecar demo` as somebody sees it who has just installed it."""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.deadlines import eventually
from tests.support.processes import Process
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator

DEMO = (sys.executable, "-m", "sidecar", "demo")

CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """Where the demo makes its folder; nothing of it may be left there, or running."""
    folder = tmp_path / "a place"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []
    assert running_in(folder) == []


def running_in(folder: Path) -> list[str]:
    """Find the processes that were started with a file of that folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if any(word.startswith(bytes(folder)) for word in words):
                found.append(shlex.join(map(os.fsdecode, words)))
    return found


def environment(temporary: Path, **changes: str) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "TMPDIR": str(temporary),
        "COLUMNS": "240",  # nothing is wrapped
        **changes,
    }


class Demo(Process):
    """The demo without a terminal."""

    def __init__(self, temporary: Path, *arguments: str, **changes: str) -> None:
        env = environment(temporary, **changes)
        super().__init__([*DEMO, *arguments], temporary.parent, "demo", env)


def four_outcomes(text: str) -> None:
    """Each caller, what it saw, and why."""
    flat = re.sub(r"[│\s]+", " ", text)
    for seen, why in (
        ("✔ 200 OK:", "completed"),
        ("✘ connection reset", "denied"),
        ("✘ alert unknown ca", "handshake_failed, unknown_trust_domain"),
        ("✘ alert certificate required", "handshake_failed, no_certificate"),
    ):
        assert seen in flat
        assert why in flat
    for name in ("frontend", "batch", "stranger", "anybody"):
        assert f" {name} " in flat
    assert 'reason="unknown_trust_domain"' in flat


def test_it_shows_four_outcomes_and_leaves_nothing(temporary: Path) -> None:
    with Demo(temporary) as demo:
        assert demo.wait(20) == 0
    four_outcomes(demo.output())
    assert CONTROLS.findall(demo.output()) == []
    assert demo.errors() == ""


def test_on_a_terminal_it_leaves_the_cursor_where_it_was(temporary: Path) -> None:
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        DEMO,
        env=environment(temporary, TERM="xterm"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # EIO, when the last process with that terminal ends
        while data := os.read(terminal, 65536):
            shown += data
    os.close(terminal)
    assert process.wait(20) == 0
    text = shown.decode()
    hidden, visible = text.rfind("\x1b[?25l"), text.rfind("\x1b[?25h")
    assert 0 <= hidden < visible
    # What is shown comes when the waiting is over: nothing redraws it.
    four_outcomes(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text[visible:]))


def test_a_terminal_without_arrows_is_shown_question_marks(temporary: Path) -> None:
    with Demo(temporary, PYTHONIOENCODING="ascii") as demo:
        assert demo.wait(20) == 0
    assert "frontend ? its sidecar" in demo.output()
    assert demo.errors() == ""


HELLO = '{"hello": "from the api", "you asked for": "/orders"}'
# curl's 35: refused in the handshake; 56: after it, by a reset, which makes it 7 or 55
# where it was quicker than curl's own look at the connection.
EXPECTED = {
    "as the frontend": ({0}, HELLO),
    "as batch": ({7, 35, 55, 56}, "curl: ("),
    "as a stranger": ({35, 56}, "unknown ca"),
    "with no certificate": ({35, 56}, "certificate required"),
    "what the sidecar of": ({0}, "sidecar_handshakes_total"),
    "its access records": ({0}, '"reason":"unknown_trust_domain"'),
    "its configuration": ({0}, '"frontend-calls-api"'),
}


def run(command: str) -> tuple[int, str]:
    program, *arguments = shlex.split(command)
    options = ["--silent", "--show-error"] if program == "curl" else []
    ended = subprocess.run(
        [require(program) if program == "curl" else program, *options, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
        check=False,
    )
    return ended.returncode, ended.stdout


def test_the_lines_that_it_prints_work_as_they_are_printed(temporary: Path) -> None:
    with Demo(temporary, "--keep") as demo:
        demo.wait_for_line("Ctrl-C ends it", 20)
        printed = re.findall(r"^# (.*)\n(.*)\n$", demo.output(), re.MULTILINE)
        assert len(printed) == 8
        for about, command in printed:
            # What follows a file does so for ever.
            status, said = run(command.replace("tail -f", "tail"))
            expected = next(each for each in EXPECTED if about.startswith(each))
            assert status in EXPECTED[expected][0], said
            assert EXPECTED[expected][1] in said
        demo.signal(signal.SIGINT)
        assert demo.wait() == 0


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGHUP, "api.crt"),
        (signal.SIGTERM, "api.log"),
        (signal.SIGINT, "frontend.log"),
        (signal.SIGHUP, "frontend.log"),
    ],
)
def test_ended_at_any_moment_it_leaves_nothing(
    temporary: Path, number: signal.Signals, moment: str
) -> None:
    with Demo(temporary, "--keep") as demo:
        eventually(lambda: list(temporary.glob(f"*/{moment}")), f"there is a {moment}")
        demo.signal(number)
        assert demo.wait() == 1
    assert "Traceback" not in demo.errors()


def test_without_rich_it_says_what_to_install(temporary: Path) -> None:
    """As where only `pip install sidecar` was done."""
    shim = temporary.parent / "rich.py"
    shim.write_text(
        "raise ModuleNotFoundError(\"No module named 'rich'\", name='rich')"
    )
    with Demo(temporary, PYTHONPATH=str(shim.parent)) as demo:
        assert demo.wait() == 1
    assert demo.output() == ""
    assert demo.errors() == (
        "sidecar demo: needs rich; install it: pip install 'sidecar[demo]'\n"
    )
