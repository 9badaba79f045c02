"""What leads the application's answers to the sidecar, and what of others is in the way.

Only with TPROXY. An answer carries our mark (`sidecar.redirect.routing`), and is to be
routed by our rule and our table. The rules of the routing are asked by their priority,
and the first that leads anywhere decides: what comes before ours may take it.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.redirect.routing import MARK, PRIORITY, TABLE, Routing, parse_routing

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARK: Final = int(MARK.partition("/")[0], 16)
_RULE: Final = re.compile(r"([0-9]{1,10}):\s+(\S.*)")
_FWMARK: Final = re.compile(r"(0x[0-9a-f]{1,8}|0)(?:/(0x[0-9a-f]{1,8}))?")
_SKIPPED: Final = {"local", "nop"}
"""A table that has but addresses of this pod, and no table at all."""


@frozen
class Answers:
    """The routing of one family, as far as answers are concerned.

    Attributes:
        routing: What of it is ours.
        ahead: Rules of others that come before ours, and may take an answer.
        beside: Routes of others in our table: narrower than ours, they win.
    """

    routing: Routing
    ahead: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def parse_answers(rules: str, routes: str) -> Answers:
    """Read ``ip rule show`` and ``ip route show table all``; other lines say nothing."""
    lines = [line.strip() for line in routes.splitlines()]
    beside = (
        line
        for line in lines
        if _table(line) == str(TABLE) and not line.startswith("local default dev lo ")
    )
    filled = {_table(line) for line in lines if line}
    ahead = (line for line in _before_ours(rules) if _may_take(line, filled))
    return Answers(parse_routing(rules, routes), tuple(ahead), tuple(beside))


def _table(route: str) -> str:
    words = route.split()
    at = words.index("table") + 1 if "table" in words else len(words)
    return words[at] if at < len(words) else "main"


def _before_ours(rules: str) -> Iterator[str]:
    for line in rules.splitlines():
        match = _RULE.fullmatch(line.strip())
        if match and int(match[1]) < PRIORITY:
            yield f"{match[1]}: {match[2]}"


def _may_take(rule: str, filled: set[str]) -> bool:
    """Tell whether *rule* may lead away what this pod sends with our mark."""
    words = rule.split()[1:]
    if words[0] == "not":
        return True
    asked = dict(pairwise(words))
    # What a process of the pod sends comes in by lo, and is bound to no interface.
    if asked.get("iif", "lo") != "lo" or "oif" in asked:
        return False
    if not _fits(asked.get("fwmark", "0/0x0")):
        return False
    if _SKIPPED & {words[-1], asked.get("lookup")}:
        return False
    return "lookup" not in asked or asked["lookup"] in filled


def _fits(fwmark: str) -> bool:
    match = _FWMARK.fullmatch(fwmark)
    if match is None:
        return True
    return not (int(match[1], 16) ^ _MARK) & int(match[2] or "ffffffff", 16)
