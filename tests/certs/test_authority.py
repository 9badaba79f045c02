"""The development CA."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sidecar.certs import blueprint
from sidecar.certs.authority import Authority, AuthorityError, new_key
from sidecar.identity.bundle import TrustBundle
from sidecar.identity.spiffe_id import SpiffeId, SpiffeIdError
from sidecar.identity.svid import (
    SvidError,
    check_signing_certificate,
    leaf_spiffe_id,
)
from tests.identity.certificates import key_pem, pem

NOW = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
CART = SpiffeId.parse("spiffe://example.org/ns/shop/sa/cart")
AUTHORITY = Authority.create("example.org", now=NOW)


def usage(certificate: x509.Certificate) -> x509.KeyUsage:
    extension = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert extension.critical
    return extension.value


def test_a_root_may_sign_for_its_trust_domain() -> None:
    """X509-SVID 3.2, 4.1, 4.3."""
    check_signing_certificate(AUTHORITY.root, "example.org")
    assert AUTHORITY.certificate == AUTHORITY.root
    assert AUTHORITY.root.not_valid_after_utc == NOW + 30 * DAY
    assert usage(AUTHORITY.root) == blueprint.key_usage("key_cert_sign", "crl_sign")
    AUTHORITY.root.verify_directly_issued_by(AUTHORITY.root)
    TrustBundle.from_pem("example.org", pem(AUTHORITY.root))


def test_its_bundle_is_its_root() -> None:
    assert AUTHORITY.bundle == TrustBundle("example.org", (AUTHORITY.root,))


def test_a_trust_domain_must_be_one() -> None:
    with pytest.raises(SpiffeIdError):
        Authority.create("Example.org", now=NOW)


def test_the_key_is_never_printed() -> None:
    assert repr(AUTHORITY) == "Authority(trust_domain='example.org')"


def test_an_svid_is_what_the_standard_asks() -> None:
    svid = AUTHORITY.issue(CART, now=NOW, dns=["cart.shop.svc"])
    assert svid.name == leaf_spiffe_id(svid.leaf) == CART
    assert svid.chain == (svid.leaf,)
    assert svid.not_valid_after == NOW + HOUR
    assert usage(svid.leaf) == blueprint.key_usage("digital_signature")
    assert isinstance(svid.private_key, ec.EllipticCurvePrivateKey)
    assert isinstance(svid.private_key.curve, ec.SECP256R1)
    assert svid.leaf.public_key() == svid.private_key.public_key()
    svid.check_time(NOW - dt.timedelta(minutes=2))
    svid.leaf.verify_directly_issued_by(AUTHORITY.root)


def test_two_svids_have_nothing_in_common_but_the_name() -> None:
    one, two = (AUTHORITY.issue(CART, now=NOW) for _ in range(2))
    assert one.name == two.name
    assert one.leaf.serial_number != two.leaf.serial_number
    assert one.leaf.public_key() != two.leaf.public_key()


def test_no_svid_of_another_trust_domain_is_issued() -> None:
    with pytest.raises(AuthorityError, match=r"trust domain 'example\.org', got"):
        AUTHORITY.issue(SpiffeId.parse("spiffe://other.test/a"), now=NOW)


def test_no_svid_outlives_its_authority() -> None:
    AUTHORITY.issue(CART, now=NOW, lifetime=30 * DAY)
    with pytest.raises(AuthorityError, match="must end before the CA does"):
        AUTHORITY.issue(CART, now=NOW, lifetime=30 * DAY + HOUR)


def test_a_dns_name_must_be_ascii() -> None:
    with pytest.raises(AuthorityError, match="DNS name: must be of ASCII"):
        AUTHORITY.issue(CART, now=NOW, dns=["zürich.example"])


def test_an_intermediate_leads_to_the_same_root() -> None:
    lower = AUTHORITY.intermediate(now=NOW).intermediate(now=NOW)
    svid = lower.issue(CART, now=NOW)
    assert lower.root == AUTHORITY.root
    assert svid.chain == (svid.leaf, *lower.path[:-1])
    assert len(svid.chain) == 3
    for below, above in zip(svid.chain, lower.path, strict=True):
        below.verify_directly_issued_by(above)
    for signer in lower.path:
        check_signing_certificate(signer, "example.org")


def test_a_revocation_list_names_serial_numbers() -> None:
    """RFC 5280 5."""
    crl = AUTHORITY.crl([1, 2], now=NOW)
    assert crl.issuer == AUTHORITY.root.subject
    assert {revoked.serial_number for revoked in crl} == {1, 2}
    assert crl.next_update_utc == NOW + DAY
    assert crl.is_signature_valid(AUTHORITY.private_key.public_key())


def test_a_later_revocation_list_has_a_higher_number() -> None:
    """RFC 5280 5.2.3."""
    first, second = (
        AUTHORITY.crl([], now=when)
        .extensions.get_extension_for_class(x509.CRLNumber)
        .value.crl_number
        for when in (NOW, NOW + HOUR)
    )
    assert first < second


def test_an_authority_is_read_again_from_its_files() -> None:
    again = Authority.from_pem(pem(AUTHORITY.root), key_pem(AUTHORITY.private_key))
    assert again == AUTHORITY
    again.issue(CART, now=NOW).leaf.verify_directly_issued_by(AUTHORITY.root)


def test_the_key_of_another_authority_is_refused() -> None:
    with pytest.raises(SvidError, match="must belong"):
        Authority.from_pem(pem(AUTHORITY.root), key_pem(new_key()))


def test_a_leaf_is_no_authority() -> None:
    svid = AUTHORITY.issue(CART, now=NOW)
    with pytest.raises(SvidError, match="must have cA true"):
        Authority.from_pem(pem(svid.leaf), key_pem(svid.private_key))


def test_an_authority_must_name_its_trust_domain() -> None:
    key = new_key()
    plan = blueprint.signer("a", key.public_key(), "CA", now=NOW, lifetime=DAY)
    unnamed = plan.without(x509.SubjectAlternativeName).sign(key)
    with pytest.raises(AuthorityError, match="must name its trust domain"):
        Authority.from_pem(pem(unnamed), key_pem(key))


def test_an_authority_has_an_ec_key() -> None:
    key = rsa.generate_private_key(65537, 2048)
    plan = blueprint.signer("a", key.public_key(), "CA", now=NOW, lifetime=DAY)
    root = plan.sign(AUTHORITY.private_key, AUTHORITY.root)
    with pytest.raises(AuthorityError, match="must have an EC key"):
        Authority.from_pem(pem(root), key_pem(key))
