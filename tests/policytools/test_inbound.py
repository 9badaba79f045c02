"""`explain` never says anything else than the engine decides."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from hypothesis import given

from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.compile import compile_policy
from sidecar.policy.evaluate import Verdict, evaluate
from sidecar.policy.model import Action, Default, Policy, Rule
from sidecar.policy.pattern import SpiffePattern
from sidecar.policytools.entry import Call, Refused
from sidecar.policytools.inbound import (
    Effect,
    SourceNeeded,
    every_rule,
    judge,
)
from sidecar.telemetry.labels import Reason
from tests.policy import policies, reference
from tests.policy.test_evaluate import lines_of
from tests.policytools.books import CART, FRONTEND, of_files, of_text, of_values

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.identity.peer import Peer
    from sidecar.policytools.rulebook import Rulebook

HERE = ip_address("10.0.0.7")


@given(policies.policies(), policies.peers, policies.ports, policies.sources)
def test_the_decision_is_that_of_the_data_path(
    policy: Policy, peer: Peer | None, port: int, source: reference.Address
) -> None:
    judgement = judge(of_values(policy), Call(peer, port, source))
    decided = evaluate(compile_policy(policy), peer, port, source)
    assert judgement.decision == decided
    assert judgement.verdict is decided.verdict
    assert judgement.allowed is decided.allowed


@given(policies.policies(), policies.peers, policies.ports, policies.sources)
def test_what_the_rules_say_leads_to_the_decision(
    policy: Policy, peer: Peer | None, port: int, source: reference.Address
) -> None:
    """The effects alone give verdict, rule and dry run again: nothing is made up."""
    book = of_values(policy)
    judgement = judge(book, Call(peer, port, source))
    said = every_rule(book, judgement)
    assert [each.statement.number for each in said] == [*range(len(policy.rules))]
    by_effect: dict[Effect, list[Rule]] = {effect: [] for effect in Effect}
    for each, rule in zip(said, policy.rules, strict=True):
        by_effect[each.effect].append(rule)
        matches = reference.applies(rule, peer, port, source)
        assert (each.effect is Effect.MISSES) is not matches
    decision = judgement.decision
    deciding = by_effect[Effect.DECIDES]
    assert [rule.name for rule in deciding] == [decision.rule] * bool(decision.rule)
    would = by_effect[Effect.WOULD_DECIDE]
    named = [decision.dry_run.rule] if decision.dry_run else []
    assert [rule.name for rule in would] == named
    for rule in deciding:
        assert decision.verdict == rule.action.value
        assert not rule.dry_run
    if not deciding:
        assert decision.verdict == policy.default.value
        assert not by_effect[Effect.LATER]
    for rule in by_effect[Effect.OVERRULED]:
        assert (decision.verdict, rule.action) == (Verdict.DENY, Action.ALLOW)
    for rule in by_effect[Effect.LATER]:
        assert rule.action.value == decision.verdict
    assert all(rule.dry_run for rule in by_effect[Effect.DRY_RUN] + would)


@given(policies.policies(), policies.peers, policies.ports)
def test_a_source_is_asked_for_exactly_where_one_may_matter(
    policy: Policy, peer: Peer | None, port: int
) -> None:
    book = of_values(policy)
    if book.first_with_sources(peer, port) is not None:
        with pytest.raises(SourceNeeded) as needed:
            judge(book, Call(peer, port))
        assert policy.rules[needed.value.number].sources is not None
        return
    unsourced = judge(book, Call(peer, port)).decision
    compiled = compile_policy(policy)
    for text in policies.SOURCES:
        decision = evaluate(compiled, peer, port, ip_address(text))
        assert evolve(decision, near_miss=None) == evolve(unsourced, near_miss=None)


def test_a_permissive_port_is_judged_for_both_ways_to_come(tmp_path: Path) -> None:
    book = of_files(tmp_path)
    peer = SpiffeId.parse("spiffe://example.org/ns/batch/sa/x")
    judgement = judge(book, Call(peer, 9090, HERE))
    assert judgement.verdict is Verdict.DENY
    assert judgement.plaintext is not None
    assert judgement.plaintext.rule == "prometheus"
    assert judge(book, Call(SpiffeId.parse(FRONTEND), 8080)).plaintext is None
    with pytest.raises(SourceNeeded):
        judge(book, Call(peer, 9090))


def test_who_is_refused_in_the_handshake_is_denied_whatever_the_rules(
    tmp_path: Path,
) -> None:
    allowed = of_files(tmp_path, policy="default: allow")
    stranger = SpiffeId.parse("spiffe://other.test/a")
    judgement = judge(allowed, Call(stranger, 8080))
    assert judgement.decision.verdict is Verdict.ALLOW
    assert (judgement.verdict, judgement.allowed) == (Verdict.DENY, False)
    assert not judgement.nameless


def test_a_certificate_without_a_name_is_told_from_none() -> None:
    refused = Refused(Reason.NOT_AN_SVID, "x")
    assert judge(of_text(), Call(None, 8080, refused=refused)).nameless
    peer = SpiffeId.parse(CART)
    assert not judge(of_text(), Call(peer, 8080, refused=refused)).nameless
    assert not judge(of_text(), Call(None, 8080)).nameless


def test_an_audited_connection_is_let_in() -> None:
    judgement = judge(of_text("default: audit"), Call(None, 1))
    assert (judgement.verdict, judgement.allowed) == (Verdict.AUDIT, True)


def of_workloads(count: int) -> Rulebook:
    patterns = (SpiffePattern("x.test", ("ns", f"s{n}")) for n in range(count))
    rules = tuple(
        Rule(f"r{n}", Action.ALLOW, (each,)) for n, each in enumerate(patterns)
    )
    return of_values(Policy(Default.DENY, rules))


def test_a_judgement_costs_the_same_however_many_rules_there_are() -> None:
    call = Call(SpiffeId.parse("spiffe://x.test/ns/s7"), 1)
    few, many = of_workloads(10), of_workloads(1_000)
    for book in (few, many):
        judge(book, call)  # what is made once, when it is first asked for
    cost = [lines_of(partial(judge, book, call)) for book in (few, many)]
    assert cost[0] == cost[1]


def test_every_rule_costs_the_same_however_many_others_there_are() -> None:
    """So a hundred thousand take a hundred thousand times as long as one."""
    call = Call(SpiffeId.parse("spiffe://x.test/ns/other"), 1)

    def cost(count: int) -> int:
        book = of_workloads(count)
        judgement = judge(book, call)
        return lines_of(partial(every_rule, book, judgement))

    assert cost(1_000) - cost(500) == cost(500) - cost(0)
