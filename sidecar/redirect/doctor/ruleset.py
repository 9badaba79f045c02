"""All that iptables-save wrote of one family, and what comes before a rule."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from sidecar.redirect.render import TABLES
from sidecar.redirect.words import canonical, target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_HARMLESS: Final = {None, "LOG", "NFLOG", "MARK", "CONNMARK", "TRACE", "SET"}
"""Targets after which the next rule is asked."""
_FINAL: Final = {
    "ACCEPT", "DROP", "DNAT", "SNAT", "REDIRECT", "MASQUERADE", "NETMAP", "QUEUE",
    "NFQUEUE",
}  # fmt: skip
_MARK: Final = re.compile(r"0x[0-9a-f]{1,8}(?:/(0x[0-9a-f]{1,8}))?")
_TCP: Final = {"tcp", "6", "all", "0"}


@frozen
class Ruleset:
    """The rules of one family, in their order.

    Attributes:
        chains: The lines of each chain, by its table and its name.
    """

    chains: Mapping[tuple[str, str], Sequence[str]] = field(factory=dict)

    def of(self, table: str, chain: str) -> Sequence[str]:
        """Give the rules of a chain; of one that is not there, none."""
        return self.chains.get((table, chain), ())

    def takers(self, hook: str, ours: str, table: str = "nat") -> Iterator[str]:
        """Find rules of *hook* that may end what has not yet come to the chain *ours*."""
        for line in self.of(table, hook):
            if target(line) == ours:
                return
            if self._takes(line, (), table):
                yield line

    def unfollowed(self, hook: str) -> Iterator[str]:
        """Find rules that hide TCP from connection tracking, and so from nat."""
        for line in self.of("raw", hook):
            words = [word for group in canonical(line) for word in group]
            if _is_tcp(line) and ("NOTRACK" in words or "--notrack" in words):
                yield line

    def marking(self, bits: int) -> Iterator[str]:
        """Find rules of others that may change these *bits* of marks of TCP."""
        for (_, chain), lines in self.chains.items():
            if chain not in TABLES:
                yield from (each for each in lines if _marks(each, bits))

    def _takes(self, line: str, above: tuple[str, ...], table: str) -> bool:
        """Tell whether a connection of TCP may end here that ours have to see.

        Those of nat see what leaves the pod. Those of mangle see what is within it,
        too, but not on the address of loopback.
        """
        to = target(line)
        if to in _HARMLESS or not _is_tcp(line):
            return False
        if _is_loopbacks(line) or (table == "nat" and _stays_inside(line)):
            return False
        if to in _FINAL:
            return True
        if any(group[0] == "-g" for group in canonical(line)):
            return True  # there is no way back from where it goes
        if to == "RETURN":
            return not above  # out of a hook, to its policy
        if to is None or to in above:
            return False
        return any(
            self._takes(each, (*above, to), table) for each in self.of(table, to)
        )


def parse_ruleset(text: str) -> Ruleset:
    """Read the output of iptables-save; lines that it does not know say nothing."""
    chains: dict[tuple[str, str], list[str]] = {}
    table = ""
    for line in text.split("\n"):
        words = line.split()
        if line[:1] == "*":
            table = line[1:].strip()
        elif words[:1] == ["-A"] and len(words) > 1:
            chains.setdefault((table, words[1]), []).append(line)
    return Ruleset(chains)


def _is_tcp(line: str) -> bool:
    for group in canonical(line):
        if group[0] == "-p":
            return group[-1] in _TCP
        if group[:2] == ("!", "-p"):
            return group[-1] not in _TCP
    return True


def _stays_inside(line: str) -> bool:
    """Tell whether a rule asks for what stays in the pod anyway."""
    return ("-o", "lo") in canonical(line)


def _is_loopbacks(line: str) -> bool:
    """Tell whether a rule asks for what goes to the address of loopback."""
    for group in canonical(line):
        if group[0] == "-d":
            try:
                if ipaddress.ip_network(group[-1], strict=False).is_loopback:
                    return True
            except ValueError:
                continue
    return False


def _marks(line: str, bits: int) -> bool:
    if target(line) not in {"MARK", "CONNMARK"} or not _is_tcp(line):
        return False
    options = {group[0]: group[-1] for group in canonical(line)}
    if "--save-mark" in options:
        mask = options.get("--ctmask", "")
        return not _MARK.fullmatch(mask) or bool(int(mask, 16) & bits)
    mark = _MARK.fullmatch(options.get("--set-xmark", ""))
    return mark is not None and bool(int(mark[1] or "0xffffffff", 16) & bits)
