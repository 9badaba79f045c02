from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from sidecar.config.config_rules import broken_rules, unknown_kind
from sidecar.config.model import (
    Config,
    Endpoint,
    Identity,
    Inbound,
    Listener,
    NameKind,
    Outbound,
    Route,
)
from sidecar.config.place import written
from sidecar.policy.pattern import parse_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = Path("file")
LISTENERS = (Listener(Endpoint("127.0.0.1", 9000), "original"),)
IDENTITY = Identity(FILE, FILE, {"example.org": FILE})
GOOD = Config(IDENTITY, outbound=Outbound(LISTENERS))
EVERY_SECTION = frozenset({"identity", "inbound", "outbound", "policy", "admin"})


def lines(config: Config, unreadable: Iterable[str] = ()) -> list[str]:
    found = broken_rules(config, frozenset(unreadable))
    return [f"{written(finding.place)}: {finding.what}" for finding in found]


def routed(*peers: str, identity: Identity = IDENTITY) -> Config:
    route = Route("api", ("x.test",), peers=tuple(map(parse_pattern, peers)))
    return Config(identity, outbound=Outbound(LISTENERS, routes=(route,)))


def test_a_sound_configuration_breaks_no_rule() -> None:
    assert lines(GOOD) == []
    assert lines(evolve(GOOD, inbound=Inbound(), policy=FILE)) == []
    assert lines(routed("spiffe://example.org/**")) == []


def test_somebody_must_be_able_to_come_in_or_go_out() -> None:
    assert lines(Config(IDENTITY)) == [
        "inbound.listeners: missing: at least one listener is needed, here or in "
        "outbound"
    ]


def test_only_what_comes_in_redirected_can_be_transparent() -> None:
    there = Endpoint("127.0.0.1", 8080)
    original, fixed = (
        Listener(Endpoint("::", 15006), goal, transparent=True)
        for goal in ("original", there)
    )
    config = Config(IDENTITY, inbound=Inbound((original,)), policy=FILE)
    assert lines(config) == []
    assert lines(evolve(config, inbound=Inbound((fixed,)))) == [
        "inbound.listeners[0].transparent: TPROXY keeps the destination: write "
        "destination: 'original', got '127.0.0.1:8080'"
    ]
    assert lines(Config(IDENTITY, outbound=Outbound((original,)))) == [
        "outbound.listeners[0].transparent: only the application has callers to show "
        "(remove it)"
    ]


def test_inbound_listeners_need_a_policy() -> None:
    config = Config(IDENTITY, inbound=Inbound(LISTENERS))
    (line,) = lines(config)
    assert line.startswith("policy: missing: without one nothing is let in (")
    assert lines(evolve(config, policy=FILE)) == []


@pytest.mark.parametrize(
    ("peer", "kind"), [("dns:a.test", "dns"), ("subject:OU=web", "subject")]
)
def test_a_route_s_peer_must_be_of_a_kind_that_counts(peer: str, kind: str) -> None:
    assert lines(routed("spiffe://example.org/a", peer)) == [
        f"outbound.routes[0].peers[1]: identity.accept does not have '{kind}', "
        f"got '{peer}'"
    ]


def test_spiffe_ids_are_of_no_use_where_they_do_not_count() -> None:
    identity = evolve(IDENTITY, accept=frozenset({NameKind.DNS}))
    assert lines(routed("spiffe://other.test/a", identity=identity)) == [
        "outbound.routes[0].peers[0]: identity.accept does not have 'spiffe', "
        "got 'spiffe://other.test/a'"
    ]


def test_a_route_s_trust_domain_needs_a_bundle() -> None:
    assert lines(routed("spiffe://other.test/a", "spiffe://example.org/a")) == [
        "outbound.routes[0].peers[0]: no bundle of trust domain 'other.test', "
        "got 'spiffe://other.test/a' (name it in identity.trust_bundles)"
    ]


def test_a_workload_api_may_bring_any_bundle() -> None:
    identity = Identity(workload_api="unix:///s")
    assert lines(routed("spiffe://other.test/a", identity=identity)) == []


def test_names_have_no_trust_domain() -> None:
    identity = evolve(IDENTITY, accept=frozenset(NameKind), name_bundle=FILE)
    assert lines(routed("dns:other.test", identity=identity)) == []


def test_listeners_and_loops_are_looked_at() -> None:
    twice = (Listener(Endpoint("127.0.0.1", 9), Endpoint("127.0.0.1", 9)),) * 2
    found = lines(Config(IDENTITY, outbound=Outbound(twice)))
    assert [line.partition(":")[0] for line in found] == [
        "outbound.listeners[1].listen",
        "outbound.listeners[0].destination",
        "outbound.listeners[1].destination",
    ]


def test_nothing_is_said_about_what_cannot_be_read() -> None:
    config = routed("dns:a.test", "spiffe://other.test/a")
    assert len(lines(config)) == 2
    assert lines(config, ["identity"]) == []
    assert lines(config, ["outbound"]) == []
    assert len(lines(config, ["inbound", "tls"])) == 2
    assert lines(Config(Identity()), EVERY_SECTION) == []


def test_who_is_unauthenticated_is_of_no_kind() -> None:
    assert unknown_kind(parse_pattern("unauthenticated"), frozenset()) is None
