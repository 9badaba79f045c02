"""The short ways to write a case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.certs.cases.case import case, leaf_case, signer_case, uri_case
from sidecar.identity.facts import Facts
from sidecar.telemetry.labels import Reason
from tests.certs.worlds import WORLD, built

if TYPE_CHECKING:
    from sidecar.certs.cases.world import Presented, World


def test_a_case_is_made_of_the_function_that_builds_it() -> None:
    @case("name", "RFC 5280 5", "sentence", Reason.REVOKED, with_crl=True)
    def made(world: World) -> Presented:
        raise NotImplementedError

    assert (made.name, made.clause, made.sentence) == ("name", "RFC 5280 5", "sentence")
    assert made.with_crl
    assert not made.accepted
    with pytest.raises(NotImplementedError):
        made.build(WORLD)


def test_only_ok_is_accepted() -> None:
    made = leaf_case("name", "clause", "sentence", lambda plan: plan)
    verdicts = {reason: attrs.evolve(made, reason=reason).accepted for reason in Reason}
    assert [reason for reason, accepted in verdicts.items() if accepted] == [Reason.OK]


def test_a_leaf_case_is_a_leaf_of_our_authority_with_a_change() -> None:
    made = leaf_case(
        "name", "clause", "sentence", lambda plan: plan.without(x509.KeyUsage)
    )
    shown = built(made)
    assert Facts.of(shown.leaf).key_usage is None
    assert shown.leaf.public_key() == shown.private_key.public_key()
    shown.leaf.verify_directly_issued_by(WORLD.authority.root)
    assert made.reason is Reason.NOT_AN_SVID


def test_a_leaf_case_may_have_a_key_of_its_own_kind() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    made = leaf_case("name", "c", "s", lambda plan: plan, make_key=lambda: key)
    assert built(made).private_key is key


def test_a_uri_case_has_these_uris_in_our_trust_domain() -> None:
    made = uri_case("name", "clause", "sentence", "spiffe://{}/a", "https://{}")
    assert list(Facts.of(built(made).leaf).uris) == [
        "spiffe://example.org/a",
        "https://example.org",
    ]


def test_a_signer_case_is_a_good_leaf_below_a_changed_intermediate() -> None:
    made = signer_case(
        "name", "clause", "sentence", lambda plan: plan.without(x509.KeyUsage)
    )
    leaf, intermediate = built(made).chain
    assert Facts.of(intermediate).key_usage is None
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(WORLD.authority.root)
    assert made.reason is Reason.UNTRUSTED_CHAIN
