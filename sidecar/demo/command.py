"""`sidecar demo`: four calls through two sidecars, and what is left of them."""

from __future__ import annotations

import io
import signal
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from sidecar.demo.calls import Seen, call_plain, call_tls
from sidecar.demo.stage import Stage, StageError, stage

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

_RECORD_SECONDS: Final = 3.0


@frozen
class Act:
    """One call: who calls, how, and what the sidecar of the api wrote down of it."""

    caller: str
    how: str
    seen: Seen
    record: dict[str, Any]


def main(arguments: argparse.Namespace) -> int:
    """Play the demo; give the exit status."""
    try:
        from sidecar.demo import show  # noqa: PLC0415 - rich is an extra
    except ModuleNotFoundError as error:
        print(
            f"sidecar demo: needs {error.name}; install it: pip install 'sidecar[demo]'",
            file=sys.stderr,
        )
        return 1
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Where an arrow cannot be written, a question mark will do.
        sys.stdout.reconfigure(errors="replace")
    try:
        with _unwound_by_signals(), ExitStack() as stack:
            with show.progress() as step:
                scene = stack.enter_context(stage(step))
                step("calling")
                acts = play(scene)
            show.report(scene, acts)
            if arguments.keep:
                show.invitation(scene)
                _wait()
    except StageError as error:
        print(f"sidecar demo: {error}", file=sys.stderr)
        return 1
    # What it promises to show is part of what it tests.
    expected = [True, False, False, False]
    return 0 if [act.seen.answered for act in acts] == expected else 1


def play(scene: Stage) -> list[Act]:
    """Make the calls, one after the other."""
    door = scene.api.data_port
    return [
        _act(
            scene,
            "frontend",
            "through its sidecar",
            lambda: call_plain(scene.frontend.data_port),
        ),
        _act(
            scene,
            "batch",
            "same trust domain, no rule",
            lambda: call_tls(door, scene.credentials("batch")),
        ),
        _act(
            scene,
            "stranger",
            "another trust domain",
            lambda: call_tls(door, scene.credentials("stranger")),
        ),
        _act(scene, "anybody", "no certificate", lambda: call_tls(door, None)),
    ]


def _act(scene: Stage, caller: str, how: str, call: Callable[[], Seen]) -> Act:
    before = len(scene.api.access_records())
    seen = call()
    end = time.monotonic() + _RECORD_SECONDS
    while time.monotonic() < end:
        records = scene.api.access_records()
        if len(records) > before:
            return Act(caller, how, seen, records[-1])
        time.sleep(0.02)
    raise StageError("the sidecar of the api wrote no access record")


def _wait() -> None:
    """Wait for Ctrl-C, or whatever else is to end us."""
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


@contextmanager
def _unwound_by_signals() -> Iterator[None]:
    """Leave the block as Ctrl-C does, whichever signal ends us: nothing stays behind.

    The first one is enough; what comes later does not disturb the cleaning up.
    """

    def unwind(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    # One that we were started not to heed, as by nohup, is not heeded.
    before = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if (handler := signal.getsignal(number)) is not signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, unwind)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
