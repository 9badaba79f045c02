"""The processes that are to be seen in ``/proc``, and whose user they have."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FIELD: Final = re.compile(r"^(Name|PPid|Uid|Gid):[ \t]*(.*)$", re.MULTILINE)
_NUMBERS: Final = re.compile(r"[0-9]{1,10}(?:\s+[0-9]{1,10})*")


@frozen
class Process:
    """A process.

    Attributes:
        uid: With which it opens files and sockets: its fsuid.
        cgroup: The text of its cgroup; processes of one container share it.
    """

    pid: int
    parent: int
    name: str
    uid: int
    gid: int
    arguments: tuple[str, ...] = ()
    cgroup: str = ""

    @property
    def is_sidecar(self) -> bool:
        """Whether it says that it is ``sidecar run``."""
        words = self.arguments
        return any(
            PurePath(word).name in {"sidecar", "__main__.py"} and after == "run"
            for word, after in pairwise(words)
        )

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


def parse_process(pid: int, status: str, command: str, cgroup: str) -> Process | None:
    """Read ``status``, ``cmdline`` and ``cgroup`` of a process.

    None where it has ended meanwhile, or where the kernel does not tell.
    """
    fields = {match[1]: match[2] for match in _FIELD.finditer(status)}
    numbers = {
        key: [int(word) for word in fields[key].split()]
        for key in ("PPid", "Uid", "Gid")
        if _NUMBERS.fullmatch(fields.get(key, "").strip())
    }
    # real, effective, saved, file system: proc_pid_status(5)
    if len(numbers.get("Uid", ())) != 4 or len(numbers.get("Gid", ())) != 4:
        return None
    arguments = tuple(word for word in command.split("\0") if word)
    return Process(
        pid,
        numbers.get("PPid", [0])[0],
        fields.get("Name", "").strip() or "?",
        numbers["Uid"][3],
        numbers["Gid"][3],
        arguments,
        cgroup,
    )


def impostors(
    processes: Sequence[Process], uid: int, gid: int, own_pid: int
) -> tuple[Process, ...]:
    """Find who runs as the sidecar's user or group, and is not of its container.

    Whoever is in the sidecar's cgroup was let in there: a probe, somebody's shell.
    This process and those that it was started by are left out too.
    """
    at_home = {each.cgroup for each in processes if each.is_sidecar}
    known = _ancestry(processes, own_pid)
    return tuple(
        each
        for each in processes
        if (each.uid == uid or each.gid == gid)
        and each.cgroup not in at_home
        and each.pid not in known
    )


def _ancestry(processes: Iterable[Process], pid: int) -> set[int]:
    parents = {each.pid: each.parent for each in processes}
    found = {pid}
    while (pid := parents.get(pid, 0)) not in found:
        found.add(pid)
    return found
