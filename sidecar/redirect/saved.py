"""What iptables-save says is there: what of it is ours, and whether there is more."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from sidecar.redirect.render import TABLES, Owned
from sidecar.redirect.words import target

_HOOKS: Final = ("PREROUTING", "OUTPUT")


@frozen
class Saved:
    """The tables of one family.

    Attributes:
        owned: What is ours.
        foreign: Whether there is any rule or chain of somebody else.
    """

    owned: Owned
    foreign: bool


def parse_saved(text: str) -> Saved:
    """Read the output of iptables-save; lines that it does not know say nothing."""
    chains: dict[str, list[str]] = {}
    jumps: list[str] = []
    foreign = False
    table = ""
    for line in text.split("\n"):
        kind, words = line[:1], line.split()
        if kind == "*":
            table = line[1:].strip()
        elif kind == ":" and len(words) > 1:
            chain = words[0][1:]
            if TABLES.get(chain) == table:
                chains[chain] = []
            else:
                foreign = foreign or words[1] == "-"  # no policy: somebody made it
        elif words[:1] == ["-A"] and len(words) > 1:
            if TABLES.get(words[1]) == table and words[1] in chains:
                chains[words[1]].append(line)
            elif words[1] in _HOOKS and TABLES.get(target(line) or "") == table:
                jumps.append(line)
            else:
                foreign = True
    owned = Owned({name: tuple(lines) for name, lines in chains.items()}, tuple(jumps))
    return Saved(owned, foreign)
