"""The decision: by tables, against plain loops over the rules, and what it costs."""

from __future__ import annotations

import functools
import itertools
import sys
from ipaddress import IPv4Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given

from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.compile import compile_policy
from sidecar.policy.evaluate import Decision, DryRun, Verdict, evaluate
from sidecar.policy.model import Action, Default, Policy, Rule
from sidecar.policy.pattern import (
    DnsPattern,
    PeerPattern,
    SpiffePattern,
    SubjectPattern,
    parse_pattern,
)
from sidecar.telemetry import labels
from tests.policy import policies, reference

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from sidecar.identity.peer import Peer

ALLOW, DENY = Action.ALLOW, Action.DENY
CART = SpiffeId.parse("spiffe://example.org/ns/shop/sa/cart")
TILL = SpiffeId.parse("spiffe://example.org/ns/shop/sa/till")
LEGACY = CertificateNames(frozenset({"a.example.org"}), (("O", "Acme"), ("OU", "web")))
HERE = ip_address("10.0.0.1")
SHOP = "spiffe://example.org/ns/shop/**"


def rule(name: str, action: Action, *peers: str, **others: Any) -> Rule:
    patterns = tuple(map(parse_pattern, peers or (str(CART),)))
    return evolve(Rule(name, action, patterns), **others)


def decide(
    *rules: Rule,
    default: Default = Default.DENY,
    peer: Peer | None = CART,
    port: int = 8080,
    source: str = "10.0.0.1",
) -> Decision:
    policy = compile_policy(Policy(default, rules))
    return evaluate(policy, peer, port, ip_address(source))


def test_a_matching_deny_wins_over_any_allow() -> None:
    rules = (rule("yes", ALLOW), rule("no", DENY), rule("too", ALLOW))
    assert decide(*rules) == Decision(Verdict.DENY, "no")


@pytest.mark.parametrize("action", Action)
def test_the_first_rule_in_the_file_is_the_one_named(action: Action) -> None:
    rules = (rule("wide", action, SHOP), rule("exact", action, str(CART)))
    assert decide(*rules) == Decision(Verdict(action), "wide")
    assert decide(*reversed(rules)) == Decision(Verdict(action), "exact")


@pytest.mark.parametrize(
    ("default", "verdict", "allowed"),
    [
        (Default.DENY, Verdict.DENY, False),
        (Default.AUDIT, Verdict.AUDIT, True),
        (Default.ALLOW, Verdict.ALLOW, True),
    ],
)
def test_the_default_decides_where_no_rule_matches(
    default: Default, verdict: Verdict, allowed: bool
) -> None:
    decision = decide(rule("x", ALLOW), default=default, peer=TILL)
    assert (decision.verdict, decision.rule) == (verdict, None)
    assert decision.allowed is allowed


@pytest.mark.parametrize("default", Default)
def test_a_rule_decides_whatever_the_default(default: Default) -> None:
    assert decide(rule("x", ALLOW), default=default) == Decision(Verdict.ALLOW, "x")
    assert decide(rule("x", DENY), default=default) == Decision(Verdict.DENY, "x")
    assert not decide(rule("x", DENY), default=default).allowed


@pytest.mark.parametrize(
    ("pattern", "peer", "matches"),
    [
        (str(CART), CART, True),
        (str(CART), TILL, False),
        (SHOP, TILL, True),
        ("unauthenticated", None, True),
        ("unauthenticated", CART, False),
        (SHOP, None, False),
        ("dns:A.example.org", LEGACY, True),
        ("dns:*.example.org", LEGACY, True),
        ("dns:b.example.org", LEGACY, False),
        ("subject:OU=web,O=Acme", LEGACY, True),
        ("subject:OU=web,O=Evil", LEGACY, False),
    ],
)
def test_a_rule_is_for_the_peers_it_names(
    pattern: str, peer: Peer | None, matches: bool
) -> None:
    assert decide(rule("x", ALLOW, pattern), peer=peer).allowed is matches


@pytest.mark.parametrize(
    ("ports", "allowed"), [(None, True), ({80}, False), ((), False)]
)
def test_a_rule_is_for_the_ports_it_names_or_all(
    ports: set[int] | None, allowed: bool
) -> None:
    some = None if ports is None else frozenset(ports)
    assert decide(rule("x", ALLOW, ports=some)).allowed is allowed


@pytest.mark.parametrize(
    ("sources", "source", "allowed"),
    [
        (None, "192.0.2.1", True),
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["10.0.0.0/8"], "192.0.2.1", False),
        (["10.0.0.0/8"], "::a01:203", False),
        (["::/0"], "::ffff:10.1.2.3", False),
        ([], "10.1.2.3", False),
    ],
)
def test_a_rule_is_for_the_sources_it_names_or_all(
    sources: list[str] | None, source: str, allowed: bool
) -> None:
    some = None if sources is None else tuple(map(ip_network, sources))
    assert decide(rule("x", ALLOW, sources=some), source=source).allowed is allowed


WOULD_ALLOW = DryRun(Verdict.ALLOW, "try")
WOULD_DENY = DryRun(Verdict.DENY, "try")


@pytest.mark.parametrize(
    ("rules", "verdict", "named", "dry_run"),
    [
        ([("try", ALLOW)], Verdict.DENY, None, WOULD_ALLOW),
        ([("try", DENY)], Verdict.DENY, None, WOULD_DENY),
        ([("try", DENY), ("yes", ALLOW)], Verdict.ALLOW, "yes", WOULD_DENY),
        ([("yes", ALLOW), ("try", DENY)], Verdict.ALLOW, "yes", WOULD_DENY),
        ([("try", ALLOW), ("yes", ALLOW)], Verdict.ALLOW, "yes", WOULD_ALLOW),
        ([("yes", ALLOW), ("try", ALLOW)], Verdict.ALLOW, "yes", None),
        ([("try", DENY), ("no", DENY)], Verdict.DENY, "no", WOULD_DENY),
        ([("no", DENY), ("try", DENY)], Verdict.DENY, "no", None),
        ([("try", ALLOW), ("no", DENY)], Verdict.DENY, "no", None),
        ([("no", DENY), ("try", ALLOW)], Verdict.DENY, "no", None),
    ],
)
def test_a_dry_run_is_recorded_where_it_would_decide_and_has_no_effect(
    rules: list[tuple[str, Action]],
    verdict: Verdict,
    named: str | None,
    dry_run: DryRun | None,
) -> None:
    decision = decide(*(rule(n, a, dry_run=n == "try") for n, a in rules))
    assert (decision.verdict, decision.rule) == (verdict, named)
    assert decision.dry_run == dry_run


def test_of_two_dry_runs_the_deny_would_decide() -> None:
    rules = (rule("a", ALLOW, dry_run=True), rule("try", DENY, dry_run=True))
    assert decide(*rules, default=Default.ALLOW).dry_run == WOULD_DENY


def test_a_dry_run_that_does_not_match_is_not_recorded() -> None:
    rules = [rule("try", action, dry_run=True) for action in Action]
    assert decide(*rules, peer=TILL).dry_run is None


@pytest.mark.parametrize("default", [Default.DENY, Default.AUDIT])
def test_a_connection_that_no_rule_allows_has_a_near_miss(default: Default) -> None:
    decision = decide(rule("x", ALLOW), default=default, peer=TILL)
    assert (
        decision.near_miss == "rule 'x' differs only in segment 4: 'cart', not 'till'"
    )


def test_a_rule_that_decides_needs_no_near_miss() -> None:
    assert decide(rule("x", ALLOW)).near_miss is None
    assert decide(rule("x", DENY), rule("y", ALLOW)).near_miss is None
    assert decide(rule("x", ALLOW), default=Default.ALLOW, peer=TILL).near_miss is None


def test_verdicts_are_the_words_of_the_metrics() -> None:
    words = {verdict.value for verdict in labels.Verdict}
    assert {verdict.value for verdict in Verdict} <= words
    assert {f"dry_run_{verdict}" for verdict in (Verdict.ALLOW, Verdict.DENY)} <= words


@given(policies.policies(), policies.peers, policies.ports, policies.sources)
def test_it_decides_as_plain_loops_over_the_rules_would(
    policy: Policy, peer: Peer | None, port: int, source: reference.Address
) -> None:
    decision = evaluate(compile_policy(policy), peer, port, source)
    verdict, name, dry_run = reference.decide(policy, peer, port, source)
    assert (decision.verdict.value, decision.rule) == (verdict, name)
    recorded = decision.dry_run
    assert (recorded and (recorded.verdict.value, recorded.rule)) == dry_run
    by_default = name is None and policy.default is not Default.ALLOW
    assert (decision.near_miss is not None) is by_default


def lines_of(function: Callable[[], object]) -> int:
    """Count the lines of ours that a call runs: work, and no clock."""
    count = 0

    def trace(frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal count
        if not frame.f_globals.get("__name__", "").startswith("sidecar."):
            return None  # what others hang on the garbage collector may run here
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def _spiffe(*segments: str, rest: bool = False) -> SpiffePattern:
    return SpiffePattern("example.org", segments, rest)


def _rule(number: int, peer: PeerPattern, **others: Any) -> Rule:
    return evolve(Rule(f"r{number}", ALLOW, (peer,)), **others)


def _network(number: int) -> IPv4Network:
    # Of nine lengths, none inside another.
    return IPv4Network((0x0A000000 + 256 * number, 24 + number % 9))


ONE_PEER = _spiffe("ns", "shop", "sa", "cart")
SHAPES: dict[str, Callable[[int], Rule]] = {
    "workloads": lambda n: _rule(n, _spiffe("ns", "shop", "sa", f"s{n}")),
    "namespaces": lambda n: _rule(n, _spiffe("ns", f"n{n}", "sa", "cart")),
    "whole namespaces": lambda n: _rule(n, _spiffe("ns", f"n{n}", rest=True)),
    "any namespace": lambda n: _rule(n, _spiffe("ns", "*", "sa", f"s{n}")),
    "deep paths": lambda n: _rule(n, _spiffe(*f"{n:05}")),
    "trust domains": lambda n: _rule(n, SpiffePattern(f"d{n}.test", ("*",))),
    "one peer, ports": lambda n: _rule(n, ONE_PEER, ports=frozenset({n})),
    "one peer, one port": lambda n: _rule(n, ONE_PEER, ports=frozenset({7})),
    "one peer, sources": lambda n: _rule(n, ONE_PEER, sources=(_network(n),)),
    "host names": lambda n: _rule(n, DnsPattern(f"h{n}.test")),
    "subjects": lambda n: _rule(
        n, SubjectPattern(frozenset({("O", "Acme"), ("OU", f"u{n}")}))
    ),
}
PEERS: list[Peer | None] = [
    CART,
    SpiffeId.parse("spiffe://example.org/ns/shop/sa/s7"),
    SpiffeId.parse("spiffe://example.org/ns/n7/sa/cart"),
    SpiffeId.parse("spiffe://example.org/0/0/0/0/7"),
    SpiffeId.parse("spiffe://d7.test/ns"),
    CertificateNames(frozenset({"h7.test"}), (("O", "Acme"), ("OU", "u7"))),
    None,
]
CONNECTIONS = list(
    itertools.product(PEERS, [7, 65535], [ip_address("10.0.7.0"), ip_address("::1")])
)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_decision_costs_the_same_with_a_hundred_times_the_rules(shape: str) -> None:
    some, many = (
        compile_policy(Policy(rules=tuple(map(SHAPES[shape], range(size)))))
        for size in (100, 10_000)
    )
    assert {evaluate(many, *at).allowed for at in CONNECTIONS} == {True, False}
    for at in CONNECTIONS:
        assert evaluate(some, *at) == evaluate(many, *at)
        once = functools.partial(evaluate, some, *at)
        assert lines_of(once) == lines_of(functools.partial(evaluate, many, *at))
