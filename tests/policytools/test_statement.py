"""What one rule says of a connection: it agrees with the engine, and gives reasons."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given

from sidecar.config.address import parse_network
from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.model import Action, Policy, Rule
from sidecar.policy.pattern import parse_pattern
from sidecar.policy.scope import comparable
from sidecar.policytools.statement import Miss, Part, statement_of
from tests.policy import policies, reference
from tests.policytools.books import CART, FRONTEND

if TYPE_CHECKING:
    from sidecar.identity.peer import Peer

HERE = comparable(ip_address("10.0.0.7"))


def rule(*peers: str, **others: Any) -> Rule:
    made = Rule("x", Action.ALLOW, tuple(map(parse_pattern, peers or (FRONTEND,))))
    return evolve(made, **others)


def misses(one: Rule, peer: str | Peer | None, port: int = 8080) -> list[Miss]:
    who = SpiffeId.parse(peer) if isinstance(peer, str) else peer
    return [*statement_of((one,), 0, who, port, HERE).misses]


@given(policies.policies(), policies.peers, policies.ports, policies.sources)
def test_a_rule_matches_exactly_if_the_documentation_says_so(
    policy: Policy, peer: Peer | None, port: int, source: reference.Address
) -> None:
    for number, one in enumerate(policy.rules):
        said = statement_of(policy.rules, number, peer, port, comparable(source))
        assert said.number == number
        assert said.matches is reference.applies(one, peer, port, source)


@given(policies.policies(), policies.peers, policies.ports, policies.sources)
def test_every_part_that_misses_is_told_once_and_no_other(
    policy: Policy, peer: Peer | None, port: int, source: reference.Address
) -> None:
    for number, one in enumerate(policy.rules):
        said = statement_of(policy.rules, number, peer, port, comparable(source))
        anybody = evolve(one, ports=None, sources=None)
        met = {
            Part.PEER: reference.applies(anybody, peer, port, source),
            Part.PORT: one.ports is None or port in one.ports,
            Part.SOURCE: one.sources is None
            or any(reference.inside(source, each) for each in one.sources),
        }
        assert [each.part for each in said.misses] == [
            part for part in Part if not met[part]
        ]


@pytest.mark.parametrize(
    ("peer", "why"),
    [
        (CART, "differs only in segment 4: 'frontend', not 'cart'"),
        (
            "spiffe://example.org/ns/shop",
            "differs from segment 3 on: 'sa/frontend', not the end",
        ),
        (
            "spiffe://example.org/web",
            "names another path of this trust domain: 'ns/shop/sa/frontend', not 'web'",
        ),
        (
            "spiffe://other.test/ns/shop/sa/frontend",
            "names nobody of the trust domain 'other.test'",
        ),
        (None, "names no unauthenticated peer"),
        (
            CertificateNames(frozenset({"a.test"}), ()),
            "does not name 'dns:a.test'",
        ),
    ],
)
def test_a_peer_that_is_not_meant_is_told_how_far_it_is(
    peer: str | Peer | None, why: str
) -> None:
    assert misses(rule(), peer) == [Miss(Part.PEER, why)]


def test_only_is_said_where_nothing_else_misses() -> None:
    said = misses(rule(ports=frozenset({80, 443})), CART)
    assert said == [
        Miss(Part.PEER, "differs in segment 4: 'frontend', not 'cart'"),
        Miss(Part.PORT, "443 or 80, not 8080"),
    ]


def test_a_source_that_is_not_meant_is_named() -> None:
    one = rule(sources=(parse_network("192.0.2.0/24"),))
    assert misses(one, FRONTEND) == [Miss(Part.SOURCE, "192.0.2.0/24, not 10.0.0.7")]


def test_without_a_source_that_part_is_not_asked() -> None:
    one = rule(sources=(parse_network("192.0.2.0/24"),))
    assert statement_of((one,), 0, SpiffeId.parse(FRONTEND), 80, None).matches


def test_the_nearer_rule_has_the_smaller_distance() -> None:
    rules = (
        rule(),
        rule(ports=frozenset({1})),
        rule(CART),
        rule(CART, ports=frozenset({1})),
        rule("spiffe://example.org/ns/till/sa/frontend"),
        rule("spiffe://example.org/ns/shop/sa/cart/two"),
        rule("spiffe://example.org/other"),
        rule("spiffe://other.test/ns/shop/sa/frontend"),
    )
    peer = SpiffeId.parse(FRONTEND)
    far = [statement_of(rules, at, peer, 8080, HERE) for at in range(len(rules))]
    distances = [each.distance for each in far]
    assert distances == sorted(distances)
    assert len({*distances}) == len(rules)
