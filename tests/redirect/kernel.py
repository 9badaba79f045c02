"""The tables of a kernel, as far as `sidecar redirect` sees them: in memory."""

from __future__ import annotations

import shlex

from attrs import define, field

from sidecar.redirect.backend import NoTables, RedirectError
from sidecar.redirect.model import Backend, Family
from sidecar.redirect.routing import Routing


@define
class MemoryTables:
    """Understands what `transition` writes, and takes all of a table or nothing.

    `refuses` is what writing ends in, to `jammed` or to any table; `unreadable` what
    reading does. `chains` are those of the nat table.
    """

    backend: Backend
    family: Family
    chains: dict[str, list[str]] = field(factory=dict)
    refuses: RedirectError | None = None
    unreadable: RedirectError | None = None
    written: int = 0
    jammed: str | None = None
    mangle: dict[str, list[str]] = field(factory=dict)

    def read(self) -> str:
        if self.unreadable is not None:
            raise self.unreadable
        hooks = {"PREROUTING": "ACCEPT", "OUTPUT": "ACCEPT"}
        lines = ["# saved"]
        for table, chains in (("nat", self.chains), ("mangle", self.mangle)):
            lines += [f"*{table}"]
            lines += [f":{name} {hooks.get(name, '-')} [0:0]" for name in chains]
            for rules in chains.values():
                lines += rules
            lines += ["COMMIT"]
        return "\n".join([*lines, "# done", ""])

    def write(self, text: str) -> None:
        table, *lines, last = text.splitlines()
        assert table in {"*nat", "*mangle"}
        assert last == "COMMIT"
        if self.refuses is not None and self.jammed in {None, table[1:]}:
            raise self.refuses
        chains = self.chains if table == "*nat" else self.mangle
        fresh = {name: list(rules) for name, rules in chains.items()}
        for line in lines:
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
        if table == "*nat":
            self.chains = fresh
        else:
            self.mangle = fresh
        self.written += 1


@define
class MemoryRoutes:
    """The rules and routes of a family: lines, as `ip` shows them.

    `refuses` is the beginning of a command that fails; `unreadable` makes reading fail.
    """

    family: Family
    lines: list[str] = field(factory=list)
    refuses: tuple[str, ...] = ()
    unreadable: bool = False

    def read(self) -> Routing:
        if self.unreadable:
            raise RedirectError("ip: no such family")
        return Routing(
            rule=any(line.startswith("rule") for line in self.lines),
            route=any(line.startswith("route") for line in self.lines),
        )

    def show(self) -> tuple[str, str]:
        raise NotImplementedError("nobody asks for all of it here")

    def run(self, command: str) -> None:
        if command.startswith(self.refuses):
            raise RedirectError(f"ip: no {command}")
        what, action, rest = command.split(" ", 2)
        if action == "add":
            self.lines.append(f"{what} {rest}")
        else:
            self.lines.remove(f"{what} {rest}")


def kernel(*backends: Backend) -> list[tuple[MemoryTables, MemoryTables]]:
    return [
        (MemoryTables(each, Family.IPV4), MemoryTables(each, Family.IPV6))
        for each in backends
    ]


ABSENT = NoTables("ip6tables-restore: table `nat' does not exist")
BROKEN = RedirectError("ip6tables-restore: exit status 4")
