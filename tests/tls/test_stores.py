"""What one generation of trust takes over from the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from sidecar.config.model import NameKind
from sidecar.tls.stores import Stores
from tests.tls.peers import issue, material, revoke

if TYPE_CHECKING:
    from sidecar.certs.authority import Authority
    from sidecar.config.material import Material
    from sidecar.identity.svid import Svid

OURS, THEIRS = "example.org", "partner.test"


@pytest.fixture
def trust(authority: Authority, partner: Authority, cart: Svid) -> Material:
    return material(
        cart,
        authority.bundle,
        partner.bundle,
        name_roots=[partner.root],
        accept=frozenset(NameKind),
    )


def kept(before: Stores, after: Stores) -> set[str | None]:
    """Say of which domains, and whether of the names (None), all is as it was."""
    domains = {each for each in (OURS, THEIRS) if before.of(each) is after.of(each)}
    return {*domains, None} if before.names is after.names else {*domains}


def test_what_has_not_changed_is_taken_over(
    trust: Material, authority: Authority
) -> None:
    before = Stores(trust)
    after = Stores(evolve(trust, svid=issue(authority)), before)
    assert kept(before, after) == {OURS, THEIRS, None}
    assert kept(before, Stores(trust)) == set()


def test_a_list_of_a_domain_changes_that_domain_alone(
    trust: Material, authority: Authority, cart: Svid
) -> None:
    before = Stores(trust)
    listed = evolve(trust, crls=(revoke(authority, cart.leaf),))
    after = Stores(listed, before)
    assert kept(before, after) == {THEIRS, None}
    assert kept(after, Stores(listed, after)) == {OURS, THEIRS, None}
    later = evolve(trust, crls=(revoke(authority),))
    assert kept(after, Stores(later, after)) == {THEIRS, None}


def test_a_bundle_that_changes_or_goes_changes_its_domain_alone(
    trust: Material, authority: Authority, partner: Authority
) -> None:
    before = Stores(trust)
    both = evolve(partner.bundle, roots=(partner.root, authority.root))
    wider = evolve(trust, bundles={**trust.bundles, THEIRS: both})
    assert kept(before, Stores(wider, before)) == {OURS, None}
    alone = evolve(trust, bundles={OURS: authority.bundle})
    after = Stores(alone, before)
    assert after.of(THEIRS) is None
    roots = before.of(THEIRS)
    assert roots is not None
    assert before.still_has(roots, THEIRS)
    assert not after.still_has(roots, THEIRS)
    assert not before.still_has(roots, OURS)


def test_roots_of_unnamed_peers_are_told_from_those_of_a_domain(
    trust: Material,
) -> None:
    stores = Stores(trust)
    assert stores.names is not None
    assert stores.still_has(stores.names, None)
    assert not stores.still_has(stores.names, THEIRS)
    without = Stores(evolve(trust, name_roots=()), stores)
    assert without.names is None
    assert not without.still_has(stores.names, None)


def test_other_names_that_count_leave_nothing_as_it_was(trust: Material) -> None:
    before = Stores(trust)
    fewer = evolve(trust, accept=frozenset([NameKind.SPIFFE, NameKind.DNS]))
    assert kept(before, Stores(fewer, before)) == set()
