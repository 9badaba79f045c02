"""Each rule for an intermediate or a root, broken alone."""

from __future__ import annotations

import pytest
from cryptography import x509

from sidecar.identity.signer_rules import SIGNER_RULES
from tests.identity.certificates import broken, sans, signer, usage

GOOD_SIGNERS = {
    "minimal": signer(),
    "no spiffe id": signer(san=None),
    "no spiffe id, key usage not critical": signer(
        san=None, usage=(usage("key_cert_sign"), False)
    ),
    "no cRLSign": signer(usage=(usage("key_cert_sign"), True)),
    "other uris": signer(san=(sans("https://a.org/b", "https://a.org/c"), True)),
    "a path length": signer(
        basic=(x509.BasicConstraints(ca=True, path_length=0), True)
    ),
}

BROKEN_SIGNERS = [
    ("signer-ca", "X509-SVID 4.1", signer(basic=None)),
    (
        "signer-ca",
        "X509-SVID 4.1",
        signer(basic=(x509.BasicConstraints(ca=False, path_length=None), True)),
    ),
    ("signer-cert-sign", "X509-SVID 4.3", signer(usage=None)),
    ("signer-cert-sign", "X509-SVID 4.3", signer(usage=(usage("crl_sign"), True))),
    (
        "signer-key-usage-critical",
        "X509-SVID 4.3",
        signer(usage=(usage("key_cert_sign"), False)),
    ),
    (
        "signer-uri-san-one",
        "X509-SVID 2",
        signer(san=(sans("spiffe://example.org", "https://a.org"), True)),
    ),
    (
        "signer-no-path",
        "X509-SVID 3.2",
        signer(san=(sans("spiffe://example.org/ca"), True)),
    ),
    ("signer-no-path", "X509-SVID 3.2", signer(san=(sans("spiffe://A"), True))),
]


@pytest.mark.parametrize("name", GOOD_SIGNERS)
def test_a_good_signer_keeps_every_rule(name: str) -> None:
    assert broken(SIGNER_RULES, GOOD_SIGNERS[name]) == {}


@pytest.mark.parametrize(("code", "clause", "certificate"), BROKEN_SIGNERS)
def test_a_signer_breaks_this_rule_and_no_other(
    code: str, clause: str, certificate: x509.Certificate
) -> None:
    assert broken(SIGNER_RULES, certificate) == {code: clause}


def test_every_rule_has_a_certificate_that_breaks_it() -> None:
    assert {code for code, _, _ in BROKEN_SIGNERS} == {r.code for r in SIGNER_RULES}
