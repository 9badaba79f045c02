"""Certificates before they are signed."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from sidecar.certs import blueprint
from sidecar.certs.authority import new_key
from sidecar.identity.facts import Facts
from sidecar.identity.leaf_rules import LEAF_RULES
from sidecar.identity.signer_rules import SIGNER_RULES

NOW = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
KEY = new_key()
LEAF = blueprint.leaf(
    "spiffe://example.org/a", KEY.public_key(), now=NOW, lifetime=HOUR, dns=["a.org"]
)
SIGNER = blueprint.signer("example.org", KEY.public_key(), "CA", now=NOW, lifetime=HOUR)


def names(certificate: x509.Certificate) -> list[str]:
    return [extension.oid.dotted_string for extension in certificate.extensions]


def test_a_leaf_keeps_every_rule() -> None:
    facts = Facts.of(LEAF.sign(KEY))
    assert [rule.found(facts) for rule in LEAF_RULES] == [None] * len(LEAF_RULES)


def test_a_signer_keeps_every_rule() -> None:
    facts = Facts.of(SIGNER.sign(KEY))
    assert [rule.found(facts) for rule in SIGNER_RULES] == [None] * len(SIGNER_RULES)


def test_a_leaf_has_its_names_and_no_subject() -> None:
    certificate = LEAF.sign(KEY)
    sans = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert sans.critical
    assert sans.value.get_values_for_type(x509.UniformResourceIdentifier) == [
        "spiffe://example.org/a"
    ]
    assert sans.value.get_values_for_type(x509.DNSName) == ["a.org"]
    assert certificate.subject.rdns == []


def test_a_certificate_begins_two_minutes_before_its_making() -> None:
    certificate = LEAF.sign(KEY)
    assert certificate.not_valid_before_utc == NOW - dt.timedelta(minutes=2)
    assert certificate.not_valid_after_utc == NOW + HOUR


def test_each_has_a_serial_number_of_its_own() -> None:
    again = blueprint.leaf("spiffe://a/b", KEY.public_key(), now=NOW, lifetime=HOUR)
    assert LEAF.serial != again.serial
    assert LEAF.sign(KEY).serial_number == LEAF.serial


def test_issuer_and_key_of_the_issuer_are_named() -> None:
    """RFC 5280 4.1.2.4, 4.2.1.1."""
    root = SIGNER.sign(KEY)
    certificate = LEAF.sign(KEY, root)
    found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    own = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    assert certificate.issuer == root.subject
    assert found.value.key_identifier == own.value.digest
    certificate.verify_directly_issued_by(root)


def test_an_extension_takes_the_place_of_the_old_one() -> None:
    changed = LEAF.extended(blueprint.key_usage("crl_sign"), critical=False)
    extension = changed.sign(KEY).extensions.get_extension_for_class(x509.KeyUsage)
    assert extension.value == blueprint.key_usage("crl_sign")
    assert not extension.critical
    assert names(changed.sign(KEY)) == names(LEAF.sign(KEY))


def test_an_extension_can_be_added_and_left_out() -> None:
    added = LEAF.extended(x509.OCSPNoCheck(), critical=False)
    assert len(added.extensions) == len(LEAF.extensions) + 1
    less = added.without(x509.OCSPNoCheck)
    assert names(less.sign(KEY)) == names(LEAF.sign(KEY))


def test_the_name_of_a_long_trust_domain_is_cut_in_the_subject() -> None:
    """RFC 5280, appendix A: ub-organization-name."""
    long = blueprint.signer("a" * 255, KEY.public_key(), "CA", now=NOW, lifetime=HOUR)
    (organization,) = long.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert organization.value == "a" * 64


@pytest.mark.parametrize("bit", ["digital_signature", "key_cert_sign", "crl_sign"])
def test_a_key_usage_has_the_bits_that_it_is_given(bit: str) -> None:
    usage = blueprint.key_usage(bit)
    assert [
        name
        for name in ("digital_signature", "key_cert_sign", "crl_sign")
        if getattr(usage, name)
    ] == [bit]
