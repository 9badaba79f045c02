"""Who signs, and what is trusted."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from sidecar.certs.authority import new_key
from sidecar.certs.cases.world import PARTNER, Presented
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.identity.svid import check_signing_certificate, leaf_spiffe_id
from tests.certs.worlds import NOW, WORLD


def test_two_trust_domains_are_trusted_each_by_its_own_root() -> None:
    bundles = {bundle.trust_domain: bundle.roots for bundle in WORLD.bundles}
    assert bundles == {
        "example.org": (WORLD.authority.root,),
        PARTNER: (WORLD.partner.root,),
    }


def test_the_impostor_has_our_name_and_not_our_key() -> None:
    assert WORLD.impostor.trust_domain == WORLD.trust_domain
    assert WORLD.impostor.root.subject == WORLD.authority.root.subject
    with pytest.raises(InvalidSignature):
        WORLD.impostor.root.verify_directly_issued_by(WORLD.authority.root)


def test_a_plan_is_a_good_leaf() -> None:
    key = new_key()
    shown = Presented(WORLD.authority.sign(WORLD.plan(key)), key)
    assert leaf_spiffe_id(shown.leaf) == SpiffeId.parse(WORLD.id())
    assert shown.leaf.not_valid_before_utc < NOW < shown.leaf.not_valid_after_utc


def test_a_signer_plan_is_a_good_intermediate() -> None:
    key = new_key()
    authority = WORLD.authority.below(WORLD.signer_plan(key), key)
    check_signing_certificate(authority.certificate, WORLD.trust_domain)


def test_the_revocation_list_names_the_one_serial_number() -> None:
    assert [entry.serial_number for entry in WORLD.crl()] == [WORLD.revoked_serial]


def test_anything_can_be_signed_again() -> None:
    again = WORLD.resigned(WORLD.authority.root.tbs_certificate_bytes)
    again.verify_directly_issued_by(WORLD.authority.root)
    assert isinstance(again, x509.Certificate)
