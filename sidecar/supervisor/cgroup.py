"""How many CPUs a control group may use: the kernel's files as numbers. No I/O.

A quota is a share of time: 250 ms in every 100 ms is two CPUs and a half. It holds for
the group and all below it, so the smallest one from here to the root counts.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

V2_FILE: Final = "cpu.max"
V1_FILES: Final = ("cpu.cfs_quota_us", "cpu.cfs_period_us")

_V2_MOUNTS: Final = (".", "unified")
_V1_MOUNTS: Final = ("cpu", "cpu,cpuacct")


def parse_v2(text: str) -> float | None:
    """Read ``cpu.max``: a quota and a period; None is no limit, or nothing known."""
    quota, _, period = text.strip().partition(" ")
    return _share(quota, period)


def parse_v1(quota: str, period: str) -> float | None:
    """Read the two files of a v1 group; a quota of -1 is no limit."""
    return _share(quota.strip(), period.strip())


def _share(quota: str, period: str) -> float | None:
    # isdecimal takes other scripts' digits, and so does int; the lengths are bounds.
    if not (quota.isdecimal() and period.isdecimal()):
        return None
    if max(len(quota), len(period)) > 20 or not int(quota) or not int(period):
        return None
    return int(quota) / int(period)


def folders(own_groups: str) -> Iterator[tuple[int, PurePosixPath]]:
    """List where limits may be: the version, and a folder below the mounts.

    Args:
        own_groups: What ``/proc/self/cgroup`` says. In a container it may be the
            host's path, which is not there: the root, last of all, is its own then.
    """
    for line in own_groups.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield from ((2, folder) for folder in _upwards(_V2_MOUNTS, path))
        elif "cpu" in controllers.split(","):
            yield from ((1, folder) for folder in _upwards(_V1_MOUNTS, path))


def _upwards(mounts: Iterable[str], path: str) -> Iterator[PurePosixPath]:
    parts = [part for part in path.split("/") if part not in {"", ".", ".."}]
    for mount in mounts:
        for length in range(len(parts), -1, -1):
            yield PurePosixPath(mount, *parts[:length])


def workers_for(shares: Iterable[float], cpus: int) -> int:
    """How many processes keep busy what the smallest of *shares* allows.

    Half a CPU too much is throttled now and then, half a CPU too few is never used:
    rounded up. At least one, and never more than the *cpus* that we may run on.
    """
    limit = min(shares, default=cpus)
    return max(1, min(math.ceil(limit), cpus))
