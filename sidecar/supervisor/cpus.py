"""What ``workers: auto`` comes to on this machine, in this container."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecar.supervisor import cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT: Final = Path("/")
_LARGEST: Final = 1 << 16


def worker_count(workers: int | str, root: Path = _ROOT) -> int:
    """How many processes the key ``workers`` asks for; *root* is where /proc is."""
    if isinstance(workers, int):
        return workers
    return cgroup.workers_for(_shares(root), len(os.sched_getaffinity(0)))


def _shares(root: Path) -> Iterator[float]:
    mounts = root / "sys/fs/cgroup"
    for version, folder in cgroup.folders(_read(root / "proc/self/cgroup")):
        if version == 2:
            share = cgroup.parse_v2(_read(mounts / folder / cgroup.V2_FILE))
        else:
            quota, period = (_read(mounts / folder / name) for name in cgroup.V1_FILES)
            share = cgroup.parse_v1(quota, period)
        if share is not None:
            yield share


def _read(path: Path) -> str:
    """The text of a file of the kernel's; none where there is no such file."""
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST).decode("ascii", "replace")
    except OSError:
        return ""
