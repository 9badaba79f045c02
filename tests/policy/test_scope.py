"""Ports and sources: the first rule that takes them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from sidecar.policy.model import Action, Rule
from sidecar.policy.scope import ManyRules, OneRule, Scope, Scopes, Sources, comparable


def rule(ports: set[int] | None = None, sources: list[str] | None = None) -> Rule:
    return Rule(
        name="",
        action=Action.ALLOW,
        peers=(),
        ports=None if ports is None else frozenset(ports),
        sources=None if sources is None else tuple(map(ip_network, sources)),
    )


def first(scope: Scope, port: int, source: str) -> int | None:
    where = comparable(ip_address(source))
    found = [sources.match(where) for sources in scope.at(port)]
    return min((number for number in found if number is not None), default=None)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.1", (4, 0x0A000001)),
        ("::ffff:10.0.0.1", (4, 0x0A000001)),
        ("::10.0.0.1", (6, 0x0A000001)),
        ("::1", (6, 1)),
        ("fe80::1%eth0", (6, 0xFE80 << 112 | 1)),
    ],
)
def test_ipv4_seen_through_ipv6_is_ipv4(
    address: str, expected: tuple[int, int]
) -> None:
    assert comparable(ip_address(address)) == expected


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], ["11.0.0.0"]),
        ("10.0.0.1/32", ["10.0.0.1"], ["10.0.0.0", "10.0.0.2", "::a00:1"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "::1"]),
        ("::/0", ["::", "2001:db8::1"], ["10.0.0.1", "::ffff:10.0.0.1"]),
        ("::1/128", ["::1"], ["::", "0.0.0.1"]),
        ("2001:db8::/32", ["2001:db8:ffff::"], ["2001:db9::"]),
        ("2001:db8::/96", ["2001:db8::ffff:ffff"], ["2001:db8::1:0:0"]),
        ("::ffff:10.0.0.0/104", ["10.1.2.3", "::ffff:10.1.2.3"], ["11.0.0.1"]),
        ("::ffff:0:0/96", ["0.0.0.0", "255.255.255.255"], ["::1"]),
        ("::fffe:0:0/95", ["::fffe:0:1"], ["10.0.0.1", "::ffff:10.0.0.1"]),
    ],
)
def test_a_source_is_inside_a_network_or_not(
    network: str, inside: list[str], outside: list[str]
) -> None:
    sources = Sources([rule(sources=[network])], [0])
    assert {sources.match(comparable(ip_address(a))) for a in inside} == {0}
    assert {sources.match(comparable(ip_address(a))) for a in outside} == {None}


@pytest.mark.parametrize(
    ("source", "expected"),
    [("10.0.0.1", 1), ("10.0.1.1", 0), ("10.1.1.1", 0), ("192.0.2.1", 3), ("::1", 3)],
)
def test_the_first_rule_wins_however_wide_its_networks_are(
    source: str, expected: int
) -> None:
    rules = [
        rule(sources=["10.0.1.0/24", "10.1.0.0/16"]),
        rule(sources=["10.0.0.0/8"]),
        rule(sources=["10.0.0.0/24", "10.0.0.0/8", "10.0.0.0/8"]),
        rule(),
        rule(sources=["0.0.0.0/0", "::/0"]),
    ]
    sources = Sources(rules, range(len(rules)))
    assert sources.match(comparable(ip_address(source))) == expected
    assert sources.first == 0


@pytest.mark.parametrize(
    ("port", "source", "expected"),
    [
        (1, "10.0.0.1", 0),
        (1, "192.0.2.1", 2),
        (2, "10.0.0.1", 0),
        (3, "10.0.0.1", 1),
        (3, "192.0.2.1", 3),
        (4, "192.0.2.1", 3),
    ],
)
def test_the_first_rule_wins_whether_or_not_it_names_the_port(
    port: int, source: str, expected: int
) -> None:
    rules = [
        rule({1, 2}, ["10.0.0.0/8"]),
        rule(None, ["10.0.0.0/8"]),
        rule({1}),
        rule(),
        rule({3}),
    ]
    scope = Scopes(rules).of(range(len(rules)))
    assert first(scope, port, source) == expected


def test_a_port_that_no_rule_names_is_nobodys() -> None:
    scope = Scopes([rule({1}), rule({2}), rule(set())]).of([0, 1, 2])
    assert [first(scope, port, "::1") for port in (1, 2, 3)] == [0, 1, None]


def test_a_single_rule_says_its_ports_and_sources_itself() -> None:
    scopes = Scopes([rule(), rule({1}), rule(None, ["10.0.0.0/8"]), rule(None, [])])
    assert [first(scopes.of([0]), port, "::1") for port in (1, 2)] == [0, 0]
    assert [first(scopes.of([1]), port, "::1") for port in (1, 2)] == [1, None]
    assert [first(scopes.of([2]), 1, ip) for ip in ("10.0.0.1", "::1")] == [2, None]
    assert first(scopes.of([3]), 1, "::1") is None
    assert isinstance(scopes.of([3]), OneRule)
    assert scopes.of([3]).first == 3


def test_what_the_same_rules_name_is_kept_once() -> None:
    """Else a rule of many peers, ports and sources would cost their product."""
    networks = ["10.0.0.0/8", "192.0.2.0/24"]
    scopes = Scopes([rule({1, 2, 3}, networks), rule({2, 3}, networks)])
    scope = scopes.of([0, 1])
    assert isinstance(scope, ManyRules)
    assert scopes.of([0, 1]) is scope
    assert scope.at(2)[0] is scope.at(3)[0]
    assert scope.at(1)[0] is not scope.at(2)[0]
    assert scope.first == 0
