"""What the log says of a refused connection: the nearest rule, and why not."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.compile import compile_policy
from sidecar.policy.model import Action, Policy, Rule
from sidecar.policy.near_miss import MAX_LENGTH, near_miss
from sidecar.policy.pattern import parse_pattern
from sidecar.policy.scope import comparable
from tests.policy import policies, reference

if TYPE_CHECKING:
    from sidecar.identity.peer import Peer

SHOP = "spiffe://example.org/ns/shop/sa"


def allow(name: str, *peers: str, **others: Any) -> Rule:
    rule = Rule(name, Action.ALLOW, tuple(map(parse_pattern, peers)))
    return evolve(rule, **others)


def networks(*texts: str) -> tuple[object, ...]:
    return tuple(map(ip_network, texts))


def miss(*rules: Rule, peer: str | Peer | None, port: int = 8080) -> str:
    if isinstance(peer, str):
        peer = SpiffeId.parse(peer)
    policy = compile_policy(Policy(rules=rules))
    return near_miss(policy, peer, port, comparable(ip_address("::ffff:192.0.2.1")))


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ({9090}, "port 9090"),
        ({9090, 443, 80}, "port 443 or 80 or 9090"),
        (range(1, 5), "4 ports"),
        ((), "0 ports"),
    ],
)
def test_another_port_is_named(ports: set[int], expected: str) -> None:
    rule = allow("x", f"{SHOP}/cart", ports=frozenset(ports))
    assert miss(rule, peer=f"{SHOP}/cart") == (
        f"rule 'x' allows this peer on {expected}, not 8080"
    )


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["10.0.0.0/8"], "network 10.0.0.0/8"),
        (["10.0.0.0/8", "::/0"], "network 10.0.0.0/8 or ::/0"),
        ([f"10.{n}.0.0/16" for n in range(200)], "200 networks"),
        ([], "0 networks"),
    ],
)
def test_another_source_is_named(sources: list[str], expected: str) -> None:
    rule = allow("x", f"{SHOP}/cart", sources=networks(*sources))
    assert miss(rule, peer=f"{SHOP}/cart") == (
        f"rule 'x' allows this peer and port from {expected}, not from 192.0.2.1"
    )


def test_a_source_of_ipv6_is_named_as_such() -> None:
    policy = compile_policy(
        Policy(rules=(allow("x", "unauthenticated", sources=networks("::1/128")),))
    )
    text = near_miss(policy, None, 1, comparable(ip_address("2001:db8::1")))
    assert text.endswith("from network ::1/128, not from 2001:db8::1")


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (f"{SHOP}/backend", "differs only in segment 4: 'frontend', not 'backend'"),
        (
            "spiffe://example.org/ns/test/sa/frontend",
            "differs only in segment 2: 'shop', not 'test'",
        ),
        (
            "spiffe://example.org/ns/test/sa/backend",
            "differs from segment 2 on: 'shop/sa/frontend', not 'test/sa/backend'",
        ),
        (f"{SHOP}/frontend/v2", "differs from segment 5 on: the end, not 'v2'"),
        (
            "spiffe://example.org/ns/shop",
            "differs from segment 3 on: 'sa/frontend', not the end",
        ),
        (
            "spiffe://example.org/jobs/nightly",
            "names another path of this trust domain: 'ns/shop/sa/frontend', "
            "not 'jobs/nightly'",
        ),
    ],
)
def test_a_path_that_comes_close_is_named(peer: str, expected: str) -> None:
    rule = allow("x", f"{SHOP}/frontend")
    assert miss(rule, peer=peer) == f"rule 'x' {expected}"


def test_a_path_that_comes_close_for_another_port_says_so() -> None:
    rule = allow("x", f"{SHOP}/frontend", ports=frozenset({9090}))
    assert miss(rule, peer=f"{SHOP}/backend") == (
        "rule 'x' differs in segment 4: 'frontend', not 'backend', and in the port"
    )


def test_another_name_at_this_port_is_nearer_than_one_at_another_port() -> None:
    rules = (
        allow("charges", f"{SHOP}/api", ports=frozenset({9090})),
        allow("reads", f"{SHOP}/report"),
    )
    assert miss(*rules, peer=f"{SHOP}/frontend") == (
        "rule 'reads' differs only in segment 4: 'report', not 'frontend'"
    )


def test_of_paths_as_close_one_that_allows_the_port_is_named() -> None:
    rules = (
        allow("a", "spiffe://example.org/a/**", ports=frozenset({9090})),
        allow("b", "spiffe://example.org/a/b"),
    )
    assert miss(*rules, peer="spiffe://example.org/c/b") == (
        "rule 'b' differs only in segment 1: 'a', not 'c'"
    )


def test_the_nearer_rule_is_named_not_the_first() -> None:
    rules = (
        allow("other", f"{SHOP}/frontend"),
        allow("port", f"{SHOP}/*", ports=frozenset({9090})),
        allow("source", f"{SHOP}/cart", sources=networks("10.0.0.0/8")),
    )
    assert miss(*rules, peer=f"{SHOP}/cart").startswith("rule 'source' allows this")
    assert miss(*rules, peer=f"{SHOP}/till").startswith("rule 'port' allows this")


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("spiffe://partner.test/a", "no allow rule names trust domain 'partner.test'"),
        (None, "no rule allows an unauthenticated peer"),
        (
            CertificateNames(frozenset({"a.example.org"}), ()),
            "no rule allows 'dns:a.example.org'",
        ),
        (
            CertificateNames(frozenset(), (("OU", "web"),)),
            "no rule allows 'subject:OU=web'",
        ),
    ],
)
def test_a_peer_that_no_rule_comes_near_is_named(
    peer: str | Peer | None, expected: str
) -> None:
    deny = Rule("no", Action.DENY, (parse_pattern("spiffe://partner.test/b"),))
    assert miss(deny, allow("x", f"{SHOP}/frontend"), peer=peer) == expected


def test_a_policy_that_allows_nothing_says_so() -> None:
    deny = Rule("no", Action.DENY, (parse_pattern("spiffe://partner.test/b"),))
    assert miss(deny, peer=f"{SHOP}/cart") == "no rule allows anything"


def test_a_dry_run_that_would_allow_is_nearest_of_all() -> None:
    rules = (
        allow("x", f"{SHOP}/cart", ports=frozenset({9090})),
        allow("try", f"{SHOP}/cart", dry_run=True),
    )
    assert (
        miss(*rules, peer=f"{SHOP}/cart") == "rule 'try' allows this but is a dry run"
    )
    assert miss(*rules, peer=f"{SHOP}/till").startswith("rule 'x' differs in segment 4")


def test_long_names_are_cut() -> None:
    rule = allow("r" * 1000, f"{SHOP}/{'f' * 1000}")
    assert miss(rule, peer=f"{SHOP}/{'b' * 1000}") == (
        f"rule '{'r' * 60}'... differs only in segment 4: "
        f"'{'f' * 60}'..., not '{'b' * 60}'..."
    )


def test_a_name_adds_no_line_to_the_log() -> None:
    rule = allow("\n\U000e0001" * 100, f"{SHOP}/cart")
    text = miss(rule, peer=f"{SHOP}/till")
    assert text.isprintable()
    assert len(text) <= MAX_LENGTH


ONE_SEGMENT = re.compile(
    r"rule '(r\d)' differs (only )?in segment (\d): '(.)', not '(.)'"
)


@given(
    policies.policies(),
    policies.peers,
    policies.ports,
    policies.sources,
    st.text(min_size=1) | st.just("\U000e0001" * 70),
)
def test_any_refusal_has_a_short_reason_and_what_it_says_is_true(
    policy: Policy,
    peer: Peer | None,
    port: int,
    source: reference.Address,
    name: str,
) -> None:
    verdict, rule, _ = reference.decide(policy, peer, port, source)
    if verdict == "allow" or rule is not None:
        return
    where = comparable(source)
    text = near_miss(compile_policy(policy), peer, port, where)
    if match := ONE_SEGMENT.match(text):
        named = next(rule for rule in policy.rules if rule.name == match[1])
        assert isinstance(peer, SpiffeId)
        segments = list(peer.segments)
        assert segments[int(match[3]) - 1] == match[5]
        segments[int(match[3]) - 1] = match[4]
        nearby = SpiffeId(peer.trust_domain, f"/{'/'.join(segments)}")
        assert any(reference.matches(str(p), nearby) for p in named.peers)
        assert (named.ports is None or port in named.ports) is bool(match[2])
    renamed = evolve(policy, rules=tuple(evolve(r, name=name) for r in policy.rules))
    text = near_miss(compile_policy(renamed), peer, port, where)
    assert text.isprintable()
    assert len(text) <= MAX_LENGTH
