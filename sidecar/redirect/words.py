"""Reading a rule of iptables-save far enough to compare it with another."""

from __future__ import annotations

import shlex

Canonical = tuple[tuple[str, ...], ...]


def canonical(line: str) -> Canonical:
    """Give what *line* says, whatever its order, quotes and loading of modules.

    A line that is no sequence of words is only ever equal to itself.
    """
    try:
        words = shlex.split(line)
    except ValueError:
        return ((line,),)
    groups: list[list[str]] = [[]]
    for word in words:
        negated = groups[-1] == ["!"]
        if (word.startswith("-") and not negated) or word == "!":
            groups.append([])
        groups[-1].append(word)
    # `-m multiport` only loads what `--dports` belongs to.
    return tuple(sorted(tuple(each) for each in groups if each and each[0] != "-m"))


def target(line: str) -> str | None:
    """Give the chain or target that a rule leads to, if it has one."""
    found = next(
        (each for each in canonical(line) if each[0] in {"-j", "-g"} and each[1:]), None
    )
    return found[1] if found else None
