"""Reading a rule of iptables-save far enough to compare it with another."""

from __future__ import annotations

import ipaddress
import re
import shlex
from typing import Final

_WORD: Final = re.compile(r"""[^ \t\r\n"'\\]+|"[^"'\\]*\"""")
_SIMPLE: Final = re.compile(rf"[ \t\r\n]*(?:(?:{_WORD.pattern})(?:[ \t\r\n]+|$))*")
"""A line in which quotes are around whole words, as iptables-save has them."""

Canonical = tuple[tuple[str, ...], ...]


def canonical(line: str) -> Canonical:
    """Give what *line* says, whatever its order, quotes and loading of modules.

    Addresses are written in one way, and those that say nothing left out: of
    `-d 0.0.0.0/0` iptables-save says nothing either, and ::102:304 is ::1.2.3.4 to it.

    A line that is no sequence of words is only ever equal to itself.
    """
    try:
        words = _words(line)
    except ValueError:
        return ((line,),)
    groups: list[list[str]] = [[]]
    for word in words:
        negated = groups[-1] == ["!"]
        if (word.startswith("-") and not negated) or word == "!":
            groups.append([])
        groups[-1].append(word)
    # `-m multiport` only loads what `--dports` belongs to.
    told = (_plain(tuple(each)) for each in groups if each and each[0] != "-m")
    return tuple(sorted(each for each in told if each))


def _words(line: str) -> list[str]:
    """Give the words of *line*.

    Raises:
        ValueError: A quote is left open.
    """
    # shlex goes from one character to the next: with thousands of rules, for minutes.
    if _SIMPLE.fullmatch(line):
        return [word.strip('"') for word in _WORD.findall(line)]
    return shlex.split(line)


def _plain(group: tuple[str, ...]) -> tuple[str, ...]:
    """Write a group in one way; one that fits every address is empty."""
    if not {"-d", "-s"} & {*group[:2]}:
        return group
    try:
        network = ipaddress.ip_network(group[-1], strict=False)
    except ValueError:
        return group
    return (
        ()
        if network.prefixlen == 0 and group[0] != "!"
        else (*group[:-1], str(network))
    )


def target(line: str) -> str | None:
    """Give the chain or target that a rule leads to, if it has one."""
    found = next(
        (each for each in canonical(line) if each[0] in {"-j", "-g"} and each[1:]), None
    )
    return found[1] if found else None
