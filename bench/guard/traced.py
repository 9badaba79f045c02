"""System calls of a pair, by strace, one by one with their times."""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from attrs import frozen

from bench.guard.exercise import Batch
from bench.programs import find
from bench.proxies.sidecar import Sidecar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.proxies.proxy import Command, Site

# PID TIME NAME(ARGUMENTS; what resumes, signals and exits look otherwise.
_CALL: Final = re.compile(r"^\d+ +(\d+\.\d+) (\w+)\(")


class Traced(Sidecar):
    """A sidecar that strace watches. It is as slow as that."""

    def client(self, site: Site) -> Command:
        return [*_strace(site, "client"), *super().client(site)]

    def server(self, site: Site) -> Command:
        return [*_strace(site, "server"), *super().server(site)]


def _strace(site: Site, side: str) -> Command:
    # As its parent: attaching to a process is forbidden to users on many systems.
    # A log instead of -c, which sums up a whole run; no text of arguments, which
    # costs time and which nobody reads.
    return [
        find("strace"),
        "--follow-forks",
        "--quiet=all",
        "--absolute-timestamps=unix,us",
        "--string-limit=0",
        f"--output={site.folder / side}.strace",
    ]


@frozen
class _Moment:
    item: str
    items: int
    begin: float
    end: float


class SystemCalls:
    """Notes when batches were done, and counts their calls when the pair has ended."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._moments: list[_Moment] = []

    @contextmanager
    def batch(self, item: str, items: int) -> Iterator[None]:
        """Count what is called in the block."""
        begin = _now()
        yield
        self._moments.append(_Moment(item, items, begin, _now()))

    def batches(self) -> list[Batch]:
        """Read what strace wrote; the pair must have ended."""
        seen: list[tuple[float, str]] = []
        for side in ("client", "server"):
            with (self._site.folder / f"{side}.strace").open(errors="replace") as lines:
                seen += parse(lines)
        return [
            Batch(
                moment.item, moment.items, count_within(moment.begin, moment.end, seen)
            )
            for moment in self._moments
        ]


def parse(lines: Iterable[str]) -> Iterator[tuple[float, str]]:
    """Read the time and the name of each call that begins in these lines (pure)."""
    for line in lines:
        found = _CALL.match(line)
        if found is not None:
            yield float(found[1]), found[2]


def count_within(
    begin: float, end: float, calls: Iterable[tuple[float, str]]
) -> Counter[str]:
    """Count the calls from one time to another, by name (pure)."""
    return Counter(name for at, name in calls if begin <= at < end)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_REALTIME)  # as strace writes it
