"""Patterns of every kind by the thousand: which match a peer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.pattern import PeerPattern, parse_pattern
from sidecar.policy.peer_index import PeerIndex, PeerSet
from tests.policy import policies, reference

if TYPE_CHECKING:
    from sidecar.identity.peer import Peer


def index_of(*patterns: str) -> PeerIndex[str]:
    """Return an index in which each pattern is its own value."""
    return PeerIndex((parse_pattern(pattern), pattern) for pattern in patterns)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (None, {"unauthenticated"}),
        (SpiffeId("x.test", "/a"), {"spiffe://x.test/a", "spiffe://x.test/*"}),
        (SpiffeId("y.test", "/a"), {"spiffe://y.test/**"}),
        (SpiffeId("z.test", "/a"), set()),
        (CertificateNames(frozenset({"a.test"}), ()), {"dns:a.test", "dns:*.test"}),
        (CertificateNames(frozenset({".test", "test"}), ()), set()),
        (
            CertificateNames(frozenset({"b.test"}), (("OU", "web"),)),
            {"dns:*.test", "subject:OU=web"},
        ),
    ],
)
def test_patterns_of_all_kinds_that_match_are_found(
    peer: Peer | None, expected: set[str]
) -> None:
    index = index_of(
        "unauthenticated",
        "spiffe://x.test/a",
        "spiffe://x.test/*",
        "spiffe://y.test/**",
        "dns:a.test",
        "dns:*.test",
        "subject:OU=web",
        "subject:OU=web,O=Acme",
    )
    assert set(index.matching(peer)) == expected


def test_the_nearest_pattern_is_one_of_the_same_trust_domain() -> None:
    index = index_of("spiffe://x.test/ns/a", "dns:a.test")
    near = index.nearest(SpiffeId("x.test", "/ns/b"), bool)
    assert near is not None
    assert near.values == ["spiffe://x.test/ns/a"]
    assert index.nearest(SpiffeId("y.test", "/ns/a"), bool) is None


@given(st.lists(policies.patterns, max_size=8), policies.peers)
def test_an_index_answers_as_the_patterns_do(
    patterns: list[PeerPattern], peer: Peer | None
) -> None:
    index = PeerIndex((pattern, pattern) for pattern in patterns)
    matching = {p for p in patterns if reference.matches(str(p), peer)}
    assert {p for p in patterns if p.matches(peer)} == matching
    assert set(index.matching(peer)) == matching
    assert PeerSet(patterns).matches(peer) is bool(matching)


def test_an_empty_set_matches_nobody() -> None:
    assert not PeerSet([]).matches(None)
    assert not PeerSet([]).matches(SpiffeId("x.test", "/a"))
