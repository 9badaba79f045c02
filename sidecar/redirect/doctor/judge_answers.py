"""With TPROXY: whether what the application answers gets to the sidecar.

The sidecar calls the application from the caller's address, and the answer goes to
that address. A mark, a rule and a route of the routing lead it back into the pod.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from sidecar.redirect.doctor.facts import Aim, Fate
from sidecar.redirect.doctor.finding import Check, Finding, Level
from sidecar.redirect.doctor.judge_rules import APPLY, listed
from sidecar.redirect.doctor.ruleset import parse_ruleset
from sidecar.redirect.model import Family, InboundMode
from sidecar.redirect.routing import MARK, PRIORITY, TABLE, wanted_routing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.redirect.doctor.answers import Answers
    from sidecar.redirect.doctor.facts import Facts, Probe

_WHY: Final = "what the application answers leaves the pod, and no connection that comes in is made"
_MAY: Final = "what they take is answered to somebody outside the pod, who never asked"
_LOOPBACK: Final = {
    Family.IPV4: "lo is up",
    Family.IPV6: "lo is up and net.ipv6.conf.lo.disable_ipv6 is 0",
}
_BITS: Final = int(MARK.partition("/")[2], 16)


def judge_answers(facts: Facts) -> Iterator[Finding]:
    """Judge the way of the answers in each family; without TPROXY there is none."""
    if facts.redirect.inbound_mode is not InboundMode.TPROXY:
        return
    for family in facts.families:
        probe = next(
            (
                each
                for each in facts.probes
                if each.aim is Aim.ANSWER and each.family is family
            ),
            None,
        )
        if probe is not None:
            yield _call(probe)
        yield from _routing(facts, family)
        # What narrows a rule is not understood: a call that was answered shows that it
        # does not take everything, and not that it takes nothing.
        answered = probe is not None and probe.fate is Fate.ARRIVED
        level = Level.NOTE if answered else Level.PROBLEM
        yield from _in_the_way(facts, family, level)


def _call(probe: Probe) -> Finding:
    finding = partial(Finding, Check.ANSWER, family=probe.family)
    said = "a call from somebody else's address, as the sidecar makes it,"
    if probe.fate is Fate.UNTRIED:
        return finding(
            Level.UNTESTED,
            f"{said} was not tried: {probe.why_not}",
            why="whether the application's answers come to the sidecar is not known",
        )
    if probe.fate is Fate.ARRIVED:
        return finding(Level.OK, f"{said} to {probe.target} was answered in the pod")
    return finding(
        Level.PROBLEM,
        f"{said} to {probe.target} got no answer",
        why=_WHY,
        remedy="see what is said of rules and routing; if that is nothing, look for nft"
        " rules of others that change marks (`nft list ruleset`)",
    )


def _routing(facts: Facts, family: Family) -> Iterator[Finding]:
    finding = partial(Finding, Check.ANSWER, family=family)
    found = facts.answers.get(family, "nobody asked")
    if isinstance(found, str):
        yield finding(Level.UNTESTED, f"the routing of answers cannot be read: {found}")
        return
    if found.routing == wanted_routing(facts.redirect):
        yield finding(Level.OK, "the routing of answers is in place")
        return
    rule = f"rule (priority {PRIORITY}, fwmark {MARK}, lookup {TABLE})"
    route = f"route (local default dev lo table {TABLE})"
    there = found.routing
    lacking = [
        name for name, has in ((rule, there.rule), (route, there.route)) if not has
    ]
    yield finding(
        Level.PROBLEM,
        f"the routing of answers lacks its {' and its '.join(lacking)}",
        why=_WHY,
        # With the loopback interface, its routes go, too.
        remedy=APPLY if there.route else f"see that {_LOOPBACK[family]}, and {APPLY}",
    )


def _in_the_way(facts: Facts, family: Family, level: Level) -> Iterator[Finding]:
    finding = partial(Finding, Check.ANSWER, level, family=family, why=_MAY)
    found = facts.answers.get(family)
    if found is not None and not isinstance(found, str):
        yield from _rules_of_others(found, finding)
    for tables in facts.tables:
        if tables.family is family and tables.text is not None:
            marking = list(parse_ruleset(tables.text).marking(_BITS))
            if marking:
                yield finding(
                    f"rules of others change the mark of answers, {MARK}:"
                    f" {listed(marking)}",
                    remedy=f"have them leave alone the bits {_BITS:#x}",
                )


def _rules_of_others(found: Answers, finding: partial[Finding]) -> Iterator[Finding]:
    if found.ahead:
        yield finding(
            f"rules of others are asked before that of priority {PRIORITY}:"
            f" {listed(found.ahead)}",
            remedy=f"give them a priority above {PRIORITY} (`ip rule`)",
        )
    if found.beside:
        yield finding(
            f"table {TABLE} has routes of others, which come before ours:"
            f" {listed(found.beside)}",
            remedy=f"have them in another table (`ip route show table {TABLE}`)",
        )
