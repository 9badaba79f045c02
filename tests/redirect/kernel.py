"""The tables of a kernel, as far as `sidecar redirect` sees them: in memory."""

from __future__ import annotations

import shlex

from attrs import define, field

from sidecar.redirect.backend import NoTables, RedirectError
from sidecar.redirect.model import Backend, Family


@define
class MemoryTables:
    """Understands what `transition` writes, and takes all of it or nothing.

    `refuses` is what writing ends in; `unreadable` what reading does.
    """

    backend: Backend
    family: Family
    chains: dict[str, list[str]] = field(factory=dict)
    refuses: RedirectError | None = None
    unreadable: RedirectError | None = None
    written: int = 0

    def read(self) -> str:
        if self.unreadable is not None:
            raise self.unreadable
        hooks = {"PREROUTING": "ACCEPT", "OUTPUT": "ACCEPT"}
        lines = ["# saved", "*nat"]
        lines += [f":{name} {hooks.get(name, '-')} [0:0]" for name in self.chains]
        for rules in self.chains.values():
            lines += rules
        return "\n".join([*lines, "COMMIT", "# done", ""])

    def write(self, text: str) -> None:
        if self.refuses is not None:
            raise self.refuses
        fresh = {name: list(rules) for name, rules in self.chains.items()}
        assert text.splitlines()[0] == "*nat"
        assert text.splitlines()[-1] == "COMMIT"
        for line in text.splitlines()[1:-1]:
            words = line.split()
            if line.startswith(":"):
                fresh[words[0][1:]] = []
            elif words[0] == "-A":
                fresh.setdefault(words[1], []).append(line)
            elif words[0] == "-D":
                fresh[words[1]].remove("-A " + line[3:])
            elif words[0] == "-X":
                assert not fresh.pop(words[1])
            else:
                raise AssertionError(line)
        jumped = {shlex.split(rule)[-1] for rules in fresh.values() for rule in rules}
        assert all(name in fresh for name in jumped if name.startswith("SIDECAR"))
        self.chains = fresh
        self.written += 1


def kernel(*backends: Backend) -> list[tuple[MemoryTables, MemoryTables]]:
    return [
        (MemoryTables(each, Family.IPV4), MemoryTables(each, Family.IPV6))
        for each in backends
    ]


ABSENT = NoTables("ip6tables-restore: table `nat' does not exist")
BROKEN = RedirectError("ip6tables-restore: exit status 4")
