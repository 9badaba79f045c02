"""All that iptables-save wrote of one family, and what comes before a rule."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from sidecar.redirect.words import canonical, target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_HARMLESS: Final = {None, "LOG", "NFLOG", "MARK", "CONNMARK", "TRACE", "SET"}
"""Targets after which the next rule is asked."""
_FINAL: Final = {
    "ACCEPT", "DROP", "DNAT", "SNAT", "REDIRECT", "MASQUERADE", "NETMAP", "QUEUE",
    "NFQUEUE",
}  # fmt: skip
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

    def _takes(self, line: str, above: tuple[str, ...], table: str) -> bool:
        """Tell whether a connection of TCP that leaves the pod may end here."""
        to = target(line)
        if to in _HARMLESS or not _is_tcp(line) or _stays_inside(line):
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
    for group in canonical(line):
        if group == ("-o", "lo"):
            return True
        if group[0] == "-d":
            try:
                if ipaddress.ip_network(group[-1], strict=False).is_loopback:
                    return True
            except ValueError:
                continue
    return False
