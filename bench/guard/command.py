"""`python -m bench guard`: has a change made the sidecar do more for the same?"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.guard.counts import (
    FUNCTIONS,
    OWN_FUNCTIONS,
    SYSTEM_CALLS,
    WORKING_CALLS,
    Count,
    Verdict,
    counts,
)
from bench.guard.exercise import exercise
from bench.guard.profiled import Functions, Profiled
from bench.guard.report import report
from bench.guard.traced import SystemCalls, Traced
from bench.pair import Pair
from bench.progress import Progress
from bench.stage import stage

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from bench.stage import Stage

LIMITS: Final = Path(__file__).parent.with_name("limits.json")

_TRACED_SECONDS: Final = 12.0
_PROFILED_SECONDS: Final = 12.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--limits",
        type=Path,
        default=LIMITS,
        metavar="FILE",
        help=f"by default {LIMITS.name}",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="make what is counted now the limits, for a change that is worth its cost "
        "or one that lowers it",
    )


def main(arguments: argparse.Namespace) -> int:
    """Count and compare; exit status 1 says that a count has grown.

    Raises:
        Unmeasured: The sidecars failed.
    """
    planned = _TRACED_SECONDS + _PROFILED_SECONDS
    with (
        stage() as ready,
        Progress(planned, terminal=sys.stderr.isatty()) as progress,
    ):
        with progress.step("counting system calls", _TRACED_SECONDS):
            found = system_calls(ready)
        with progress.step("counting function calls", _PROFILED_SECONDS):
            found += function_calls(ready)
    if arguments.record:
        _record(arguments.limits, found)
    limits = json.loads(arguments.limits.read_text())["limits"]
    verdicts = [Verdict(count, limits.get(count.name)) for count in found]
    print(report(verdicts))
    return 1 if any(verdict.has_grown for verdict in verdicts) else 0


def system_calls(ready: Stage) -> list[Count]:
    """Count the system calls of a pair.

    Raises:
        Unmeasured: The sidecars failed, or there is no strace.
    """
    traced = Traced()
    site = ready.site("traced")
    instrument = SystemCalls(site)
    with Pair(traced, site) as pair:
        exercise(pair.port, instrument)
    return counts(instrument.batches(), [WORKING_CALLS, SYSTEM_CALLS])


def function_calls(ready: Stage) -> list[Count]:
    """Count the function calls of a pair.

    Raises:
        Unmeasured: The sidecars failed.
    """
    with Pair(Profiled(), ready.site("profiled")) as pair:
        instrument = Functions(pair)
        exercise(pair.port, instrument)
    return counts(instrument.batches, [OWN_FUNCTIONS, FUNCTIONS])


def _record(path: Path, found: Sequence[Count]) -> None:
    limits = {count.name: round(count.value, 2) for count in found}
    value = {"python": platform.python_version(), "limits": limits}
    path.write_text(json.dumps(value, indent=2) + "\n")
