"""Each rule for a workload's certificate, broken alone."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from sidecar.identity.facts import Facts
from sidecar.identity.leaf_rules import LEAF_RULES
from sidecar.identity.reading import SvidError
from tests.identity import certificates as make
from tests.identity.certificates import broken, leaf, sans, usage

DS = "digital_signature"


def eku(*oids: x509.ObjectIdentifier) -> make.Extension:
    return x509.ExtendedKeyUsage(oids), False


SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
ID = make.SPIFFE_ID
KU_UNCRITICAL = (usage(DS), False)

GOOD_LEAVES = {
    "minimal": leaf(),
    "no basic constraints": leaf(basic=None),
    "basic constraints not critical": leaf(basic=(make.LEAF["basic"][0], False)),
    "no extended key usage": leaf(extended=None),
    "extended key usage critical": leaf(extended=(make.LEAF["extended"][0], True)),
    "more purposes": leaf(
        extended=eku(*make.BOTH, ExtendedKeyUsageOID.EMAIL_PROTECTION)
    ),
    "key encipherment": leaf(usage=(usage(DS, "key_encipherment"), True)),
    "key agreement": leaf(usage=(usage(DS, "key_agreement"), True)),
    "dns names": leaf(san=(sans(ID, dns=["a.org", "b.org"]), True)),
    "subject, names not critical": leaf(name=make.ACME, san=(sans(ID), False)),
    "subject, names critical": leaf(name=make.ACME),
}

BROKEN_LEAVES = [
    ("uri-san-one", "X509-SVID 2", leaf(san=None, name=make.ACME)),
    ("uri-san-one", "X509-SVID 2", leaf(san=(sans(dns=["a.org"]), True))),
    ("uri-san-one", "X509-SVID 2", leaf(san=(sans(ID, ID), True))),
    ("uri-san-one", "X509-SVID 2", leaf(san=(sans(ID, "spiffe://b.org/b"), True))),
    ("spiffe-id", "SPIFFE-ID 2", leaf(san=(sans("https://a.org/b"), True))),
    ("spiffe-id", "SPIFFE-ID 2", leaf(san=(sans("SPIFFE://a.org/b"), True))),
    ("spiffe-id", "SPIFFE-ID 2", leaf(san=(sans("spiffe://A.org/b"), True))),
    ("spiffe-id", "SPIFFE-ID 2", leaf(san=(sans("spiffe://a.org/"), True))),
    ("spiffe-id", "SPIFFE-ID 2", leaf(san=(sans("spiffe://a.org/../b"), True))),
    ("spiffe-id-path", "X509-SVID 3.1", leaf(san=(sans("spiffe://a.org"), True))),
    (
        "leaf-not-ca",
        "X509-SVID 4.1",
        leaf(basic=(x509.BasicConstraints(ca=True, path_length=0), True)),
    ),
    ("key-usage-present", "X509-SVID 4.3", leaf(usage=None)),
    ("key-usage-critical", "X509-SVID 4.3", leaf(usage=KU_UNCRITICAL)),
    (
        "digital-signature",
        "X509-SVID 4.3",
        leaf(usage=(usage("key_encipherment"), True)),
    ),
    (
        "leaf-no-cert-sign",
        "X509-SVID 4.3",
        leaf(usage=(usage(DS, "key_cert_sign"), True)),
    ),
    ("leaf-no-crl-sign", "X509-SVID 4.3", leaf(usage=(usage(DS, "crl_sign"), True))),
    ("extended-key-usage", "X509-SVID 4.4", leaf(extended=eku(SERVER))),
    ("extended-key-usage", "X509-SVID 4.4", leaf(extended=eku(CLIENT))),
    ("extended-key-usage", "X509-SVID 4.4", leaf(extended=eku(ANY))),
    ("names-critical", "X509-SVID 3.1", leaf(san=(sans(ID), False))),
]


@pytest.mark.parametrize("name", GOOD_LEAVES)
def test_a_good_leaf_keeps_every_rule(name: str) -> None:
    assert broken(LEAF_RULES, GOOD_LEAVES[name]) == {}


@pytest.mark.parametrize(("code", "clause", "certificate"), BROKEN_LEAVES)
def test_a_leaf_breaks_this_rule_and_no_other(
    code: str, clause: str, certificate: x509.Certificate
) -> None:
    assert broken(LEAF_RULES, certificate) == {code: clause}


def test_a_uri_of_another_scheme_is_one_too_many() -> None:
    certificate = leaf(san=(sans(ID, "https://a.org/b"), True))
    assert set(broken(LEAF_RULES, certificate)) == {"uri-san-one", "spiffe-id"}


def test_every_rule_has_a_certificate_that_breaks_it() -> None:
    assert {code for code, _, _ in BROKEN_LEAVES} == {r.code for r in LEAF_RULES}


@pytest.mark.parametrize("fault", make.unreadable_subjects())
def test_a_subject_that_cannot_be_read_is_not_taken_for_an_empty_one(
    fault: str,
) -> None:
    certificate = make.unreadable_subjects(san=(sans(ID), False))[fault]
    rule = next(rule for rule in LEAF_RULES if rule.code == "names-critical")
    with pytest.raises(SvidError, match="subject must be well formed"):
        rule.check(Facts.of(certificate))


def test_an_empty_key_usage_is_a_key_usage() -> None:
    """RFC 5280 4.2.1.3 wants a bit set; what counts is that the one we need is not."""
    nothing = make.raw(ExtensionOID.KEY_USAGE, b"\x03\x01\x00")
    assert set(broken(LEAF_RULES, leaf(usage=nothing))) == {
        "key-usage-critical",
        "digital-signature",
    }
