from __future__ import annotations

import pytest
from attrs import evolve

from sidecar.redirect.doctor.answers import Answers
from sidecar.redirect.doctor.facts import Aim, Facts, Fate, Probe
from sidecar.redirect.doctor.finding import Check, Finding, Level
from sidecar.redirect.doctor.judge_answers import judge_answers
from sidecar.redirect.model import Family
from sidecar.redirect.routing import Routing
from tests.redirect.doctor.pods import (
    HEALTHY,
    PROBES,
    TPROXY,
    probe,
    with_probe,
    with_rules,
)

V4 = Family.IPV4
THERE = Routing(rule=True, route=True)
UNANSWERED = evolve(probe(Aim.ANSWER, V4), fate=Fate.LEFT)
MARKING = "-A OUTPUT -j MARK --set-xmark 0x0/0xffffffff"


def found(facts: Facts) -> list[Finding]:
    """What is said of IPv4; that of IPv6 has to be well."""
    of_both = list(judge_answers(facts))
    assert {each.check for each in of_both} <= {Check.ANSWER}
    assert {each.level for each in of_both if each.family is not V4} <= {Level.OK}
    return [each for each in of_both if each.family is V4]


def with_answers(answers: Answers | str, facts: Facts = TPROXY) -> Facts:
    return evolve(facts, answers={**facts.answers, V4: answers})


def test_without_tproxy_nothing_is_asked() -> None:
    assert list(judge_answers(HEALTHY)) == []


def test_a_call_that_is_answered_and_the_routing_are_said() -> None:
    call, routing = found(TPROXY)
    assert (call.level, routing.level) == (Level.OK, Level.OK)
    assert call.what == (
        "a call from somebody else's address, as the sidecar makes it, to"
        " 10.0.0.5:40000 was answered in the pod"
    )


def test_a_call_without_an_answer_is_a_problem_though_all_seems_well() -> None:
    call, routing = found(with_probe(UNANSWERED, TPROXY))
    assert (call.level, routing.level) == (Level.PROBLEM, Level.OK)
    assert "got no answer" in call.what
    assert "nft list ruleset" in call.remedy


def test_a_call_that_could_not_be_made_proves_nothing() -> None:
    untried = Probe(Aim.ANSWER, V4, None, Fate.UNTRIED, why_not="not permitted")
    call, _ = found(with_probe(untried, TPROXY))
    assert call.level is Level.UNTESTED
    assert call.what.endswith("was not tried: not permitted")


def test_without_a_place_to_call_from_the_routing_is_looked_at_all_the_same() -> None:
    (routing,) = found(evolve(TPROXY, probes=PROBES))[:1]
    assert routing.what == "the routing of answers is in place"


@pytest.mark.parametrize(
    ("routing", "said"),
    [
        (
            Routing(rule=False, route=True),
            "lacks its rule (priority 15006, fwmark 0x539/0xfff, lookup 133)",
        ),
        (
            Routing(rule=True, route=False),
            "lacks its route (local default dev lo table 133)",
        ),
        (
            Routing(),
            "lacks its rule (priority 15006, fwmark 0x539/0xfff, lookup 133) and its"
            " route (local default dev lo table 133)",
        ),
    ],
)
def test_routing_that_is_lacking_is_told(routing: Routing, said: str) -> None:
    finding = found(with_answers(Answers(routing)))[-1]
    assert finding.level is Level.PROBLEM
    assert finding.what == f"the routing of answers {said}"
    assert finding.remedy.endswith("redirect apply` with these same options")
    assert ("lo is up" in finding.remedy) is not routing.route


def test_routing_that_cannot_be_read_says_why() -> None:
    _, finding = found(with_answers("ip is not on the PATH"))
    assert finding.level is Level.UNTESTED
    assert finding.what.endswith("cannot be read: ip is not on the PATH")
    _, finding = found(evolve(TPROXY, answers={Family.IPV6: Answers(THERE)}))
    assert finding.level is Level.UNTESTED


@pytest.mark.parametrize("answered", [True, False])
def test_what_others_put_in_the_way_is_named_and_matters_where_it_shows(
    answered: bool,
) -> None:
    rule, route = "100: from 10.0.0.0/8 lookup main", "10.0.0.0/8 dev eth0 table 133"
    facts = with_answers(Answers(THERE, (rule,), (route,)))
    facts = with_rules(facts, "COMMIT\n*mangle", f"COMMIT\n*mangle\n{MARKING}")
    if not answered:
        facts = with_probe(UNANSWERED, facts)
    ahead, beside, marking = found(facts)[2:]
    level = Level.NOTE if answered else Level.PROBLEM
    assert {each.level for each in (ahead, beside, marking)} == {level}
    assert ahead.what.endswith(f"before that of priority 15006: `{rule}`")
    assert beside.what.endswith(f"before ours: `{route}`")
    assert marking.what.endswith(f"the mark of answers, 0x539/0xfff: `{MARKING}`")


def test_tables_that_cannot_be_read_say_nothing_of_marks() -> None:
    unread = tuple(evolve(each, text=None) for each in TPROXY.tables)
    assert len(found(evolve(TPROXY, tables=unread))) == 2
