"""Rules arranged for look-up: the first that matches, from the index it belongs in."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.compile import RuleIndex, compile_policy
from sidecar.policy.model import Action, Default, Policy, Rule
from sidecar.policy.pattern import parse_pattern
from sidecar.policy.scope import OneRule, comparable

CART = SpiffeId.parse("spiffe://x.test/ns/shop/sa/cart")
HERE = comparable(ip_address("10.0.0.1"))
ANY = (parse_pattern("spiffe://x.test/**"),)
EXACT = (parse_pattern(str(CART)),)


def compiled(*rules: Rule) -> RuleIndex:
    index = compile_policy(Policy(rules=rules)).allow
    assert index is not None
    return index


def test_each_rule_is_in_the_index_of_its_action_and_no_other() -> None:
    for action in Action:
        for dry_run in (False, True):
            rule = Rule("one", action, ANY, dry_run=dry_run)
            policy = compile_policy(Policy(Default.AUDIT, (rule,)))
            indexes = {
                (Action.DENY, False): policy.deny,
                (Action.ALLOW, False): policy.allow,
                (Action.DENY, True): policy.dry_run_deny,
                (Action.ALLOW, True): policy.dry_run_allow,
            }
            mine = indexes.pop((action, dry_run))
            assert mine is not None
            assert mine.first(CART, 1, HERE) == 0
            assert list(indexes.values()) == [None, None, None]
            assert (policy.rules, policy.default) == ((rule,), Default.AUDIT)


def test_the_first_rule_wins_however_wide_its_pattern_is() -> None:
    wide, narrow = Rule("w", Action.ALLOW, ANY), Rule("n", Action.ALLOW, EXACT)
    assert compiled(wide, narrow).first(CART, 1, HERE) == 0
    assert compiled(narrow, wide).first(CART, 1, HERE) == 0


def test_a_later_rule_counts_where_an_earlier_one_does_not_apply() -> None:
    far = (ip_network("192.0.2.0/24"),)
    index = compiled(
        Rule("port", Action.ALLOW, EXACT, ports=frozenset({2})),
        Rule("source", Action.ALLOW, EXACT, sources=far),
        Rule("both", Action.ALLOW, EXACT, ports=frozenset({1})),
        Rule("any", Action.ALLOW, ANY),
    )
    assert [index.first(CART, port, HERE) for port in (1, 2, 3)] == [2, 0, 3]


def test_a_rule_that_names_a_peer_twice_counts_once() -> None:
    index = compiled(Rule("twice", Action.ALLOW, EXACT * 2 + ANY))
    assert index.first(CART, 1, HERE) == 0
    assert [type(scope) for scope in index.peers.matching(CART)] == [OneRule] * 2


def test_rules_number_as_in_the_file_whatever_comes_between() -> None:
    deny = Rule("deny", Action.DENY, EXACT)
    index = compiled(deny, deny, Rule("allow", Action.ALLOW, ANY))
    assert index.first(CART, 1, HERE) == 2


def test_the_peers_of_one_rule_share_what_it_says_besides() -> None:
    several = tuple(parse_pattern(f"spiffe://x.test/{name}") for name in "abc")
    index = compiled(Rule("one", Action.ALLOW, several, ports=frozenset({1})))
    found = [index.peers.matching(SpiffeId("x.test", f"/{name}")) for name in "abc"]
    assert found[0][0] is found[1][0] is found[2][0]
