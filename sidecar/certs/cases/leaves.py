"""Leaves that break a rule for leaves. Each must be refused, whoever signed it."""

from __future__ import annotations

from typing import Final

from attrs import evolve
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sidecar.certs.blueprint import Blueprint, alternative_names, key_usage
from sidecar.certs.cases.case import Case, leaf_case, uri_case
from sidecar.certs.cases.world import PARTNER

_ACME: Final = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme")])
_ID: Final = "spiffe://example.org/a"


def _nameless(plan: Blueprint) -> Blueprint:
    """Leave out the SANs; the subject is there, so that nothing else is wrong."""
    return evolve(plan.without(x509.SubjectAlternativeName), subject=_ACME)


def _named_by_subject(plan: Blueprint) -> Blueprint:
    name = x509.NameAttribute(NameOID.COMMON_NAME, _ID)
    return evolve(_nameless(plan), subject=x509.Name([name]))


def _named_by_issuer(plan: Blueprint) -> Blueprint:
    names = x509.IssuerAlternativeName([x509.UniformResourceIdentifier(_ID)])
    return _nameless(plan).extended(names, critical=False)


def _usage(plan: Blueprint, *bits: str, critical: bool = True) -> Blueprint:
    return plan.extended(key_usage(*bits), critical=critical)


def _purposes(plan: Blueprint, *oids: x509.ObjectIdentifier) -> Blueprint:
    return plan.extended(x509.ExtendedKeyUsage(oids), critical=False)


NAMES: Final = (
    leaf_case("names-missing", "X509-SVID 2", "no SAN at all", _nameless),
    leaf_case(
        "names-dns-only",
        "X509-SVID 2",
        "a DNS SAN and no URI",
        lambda plan: plan.extended(
            alternative_names([], ["cart.example.org"]), critical=True
        ),
    ),
    leaf_case(
        "spiffe-id-in-dns-name",
        "X509-SVID 2",
        "a SPIFFE ID as a DNS SAN",
        lambda plan: plan.extended(alternative_names([], [_ID]), critical=True),
    ),
    leaf_case(
        "spiffe-id-in-common-name",
        "X509-SVID 2",
        "a SPIFFE ID as the common name",
        _named_by_subject,
    ),
    leaf_case(
        "spiffe-id-in-issuer-name",
        "X509-SVID 2",
        "a SPIFFE ID as an alternative name of the issuer",
        _named_by_issuer,
    ),
    uri_case(
        "two-spiffe-ids",
        "X509-SVID 2",
        "two SPIFFE IDs",
        "spiffe://{}/a",
        "spiffe://{}/b",
    ),
    uri_case(
        "spiffe-id-twice",
        "X509-SVID 2",
        "one SPIFFE ID twice",
        "spiffe://{}/a",
        "spiffe://{}/a",
    ),
    uri_case(
        "spiffe-ids-of-two-domains",
        "X509-SVID 2",
        "SPIFFE IDs of two trust domains",
        "spiffe://{}/a",
        f"spiffe://{PARTNER}/a",
    ),
    uri_case(
        "other-uri-after",
        "X509-SVID 2",
        "a SPIFFE ID, then another URI",
        "spiffe://{}/a",
        "https://example.org/a",
    ),
    uri_case(
        "other-uri-before",
        "X509-SVID 2",
        "another URI, then a SPIFFE ID",
        "https://example.org/a",
        "spiffe://{}/a",
    ),
    leaf_case(
        "names-not-critical",
        "X509-SVID 3.1",
        "names that are not critical beside an empty subject",
        lambda plan: plan.extended(
            plan.find(x509.SubjectAlternativeName), critical=False
        ),
    ),
)

USAGES: Final = (
    leaf_case(
        "ca",
        "X509-SVID 4.1",
        "a leaf with cA true",
        lambda plan: plan.extended(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        ),
    ),
    leaf_case(
        "key-usage-missing",
        "X509-SVID 4.3",
        "no key usage",
        lambda plan: plan.without(x509.KeyUsage),
    ),
    leaf_case(
        "key-usage-not-critical",
        "X509-SVID 4.3",
        "a key usage that is not critical",
        lambda plan: _usage(plan, "digital_signature", critical=False),
    ),
    leaf_case(
        "digital-signature-missing",
        "X509-SVID 4.3",
        "keyAgreement in the place of digitalSignature",
        lambda plan: _usage(plan, "key_agreement"),
    ),
    leaf_case(
        "key-usage-empty",
        "X509-SVID 4.3",
        "a key usage without a bit",
        lambda plan: plan.extended(
            x509.UnrecognizedExtension(x509.KeyUsage.oid, b"\x03\x01\x00"),
            critical=True,
        ),
    ),
    leaf_case(
        "key-cert-sign",
        "X509-SVID 4.3",
        "a leaf with keyCertSign",
        lambda plan: _usage(plan, "digital_signature", "key_cert_sign"),
    ),
    leaf_case(
        "crl-sign",
        "X509-SVID 4.3",
        "a leaf with cRLSign",
        lambda plan: _usage(plan, "digital_signature", "crl_sign"),
    ),
    leaf_case(
        "extended-key-usage-server",
        "X509-SVID 4.4",
        "serverAuth alone",
        lambda plan: _purposes(plan, ExtendedKeyUsageOID.SERVER_AUTH),
    ),
    leaf_case(
        "extended-key-usage-client",
        "X509-SVID 4.4",
        "clientAuth alone",
        lambda plan: _purposes(plan, ExtendedKeyUsageOID.CLIENT_AUTH),
    ),
    leaf_case(
        "extended-key-usage-any",
        "X509-SVID 4.4",
        "anyExtendedKeyUsage in the place of both",
        lambda plan: _purposes(plan, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE),
    ),
    leaf_case(
        "extended-key-usage-other",
        "X509-SVID 4.4",
        "another purpose alone",
        lambda plan: _purposes(plan, ExtendedKeyUsageOID.CODE_SIGNING),
    ),
)

CASES: Final[tuple[Case, ...]] = NAMES + USAGES
