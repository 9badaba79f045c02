"""What processes use, from /proc: CPU time and resident memory, children included."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PROC: Final = Path("/proc")
_TICK: Final = os.sysconf("SC_CLK_TCK")


@frozen
class Stat:
    """What /proc/PID/stat says of one process."""

    parent: int
    cpu_seconds: float
    """Its own, and that of the children that have ended."""


def parse_stat(text: str) -> Stat:
    """Read the text of /proc/PID/stat (proc(5))."""
    # The program's name, in brackets, may hold spaces and brackets.
    fields = text.rpartition(")")[2].split()
    return Stat(int(fields[1]), sum(map(int, fields[11:15])) / _TICK)


def parse_rss(text: str) -> int:
    """Read the bytes resident from the text of /proc/PID/smaps_rollup."""
    line = next(line for line in text.splitlines() if line.startswith("Rss:"))
    return int(line.split()[1]) * 1024


def tree(roots: Iterable[int], stats: Mapping[int, Stat]) -> list[int]:
    """Return *roots* and all that descend from them."""
    children: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        children.setdefault(stat.parent, []).append(pid)
    found = list(roots)
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """Return the CPU time of the processes *roots* and their descendants so far."""
    stats = _stats()
    return sum(stats[pid].cpu_seconds for pid in tree(roots, stats) if pid in stats)


def rss_bytes(root: int) -> int:
    """Return the resident memory of the process *root* and its descendants."""
    # Not from stat: that is an estimate, wrong by a megabyte where there are many CPUs.
    pids = tree([root], _stats())
    return sum(
        parse_rss((_PROC / str(pid) / "smaps_rollup").read_text()) for pid in pids
    )


def _stats() -> dict[int, Stat]:
    found = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = parse_stat((entry / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended since
    return found
