"""Trust bundles, and the roots for peers that have other names."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, strategies as st

from sidecar.identity.bundle import BundleError, TrustBundle, parse_name_bundle
from tests.identity import certificates as make
from tests.identity.certificates import leaf, pem, sans, signer, usage
from tests.identity.test_jwks import document, key

ROOT = signer()
SECOND = make.build(list(make.SIGNER.values()), signer=make.key("second"))
CA = (x509.BasicConstraints(ca=True, path_length=None), True)


def test_a_bundle_holds_the_roots_of_its_trust_domain() -> None:
    bundle = TrustBundle.from_pem("example.org", pem(ROOT, SECOND))
    assert bundle == TrustBundle("example.org", (ROOT, SECOND))


def test_text_around_the_certificates_is_passed_over() -> None:
    text = b"# the roots\n" + pem(ROOT) + b"\nsubject=O = Acme\n" + pem(SECOND)
    assert TrustBundle.from_pem("example.org", text).roots == (ROOT, SECOND)


def test_a_root_that_is_there_twice_counts_once() -> None:
    bundle = TrustBundle.from_pem("example.org", pem(ROOT, SECOND, ROOT))
    assert bundle.roots == (ROOT, SECOND)


def test_a_bundle_is_a_value() -> None:
    bundle = TrustBundle.from_pem("example.org", pem(ROOT))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        bundle.trust_domain = "other.test"  # type: ignore[misc]


def test_a_bundle_expires_when_its_last_root_does() -> None:
    later = make.build(list(make.SIGNER.values()), lifetime=dt.timedelta(days=9))
    bundle = TrustBundle.from_pem("example.org", pem(ROOT, later))
    assert bundle.expires() == make.NOON + dt.timedelta(days=9)


@pytest.mark.parametrize(
    ("clause", "root", "rule"),
    [
        ("X509-SVID 4.1", leaf(), "cA true"),
        ("X509-SVID 4.3", signer(usage=None), "keyCertSign"),
        ("X509-SVID 4.3", signer(usage=(usage("crl_sign"), True)), "keyCertSign"),
        (
            "X509-SVID 3.2",
            signer(san=(sans("spiffe://other.test"), True)),
            "be of the trust domain",
        ),
        (
            "X509-SVID 3.2",
            signer(san=(sans("spiffe://example.org/ca"), True)),
            "must have no path",
        ),
        ("RFC 5280 4.2", make.duplicated_extension(), "well formed"),
    ],
)
def test_a_root_that_may_not_sign_is_named(
    clause: str, root: x509.Certificate, rule: str
) -> None:
    with pytest.raises(BundleError, match=rule) as caught:
        TrustBundle.from_pem("example.org", pem(ROOT, root))
    assert str(caught.value).startswith("certificate 2: ")
    assert clause in str(caught.value)


def test_a_bundle_may_be_a_jwk_set() -> None:
    text = document(key(ROOT), key(SECOND), spiffe_sequence=7, spiffe_refresh_hint=60)
    bundle = TrustBundle.from_file("example.org", text)
    assert bundle == TrustBundle("example.org", (ROOT, SECOND), 7, 60)


def test_a_file_that_is_no_json_is_pem() -> None:
    bundle = TrustBundle.from_file("example.org", pem(ROOT))
    assert bundle == TrustBundle("example.org", (ROOT,))


def test_a_jwk_set_without_keys_trusts_nothing_and_never_ends() -> None:
    bundle = TrustBundle.from_file("example.org", document())
    assert bundle == TrustBundle("example.org", ())
    assert bundle.expires() is None


def test_a_jwk_set_that_is_none_or_has_a_leaf_is_refused() -> None:
    with pytest.raises(BundleError, match="must have keys"):
        TrustBundle.from_file("example.org", b"{}")
    with pytest.raises(BundleError, match="certificate 2: a signing certificate must"):
        TrustBundle.from_jwks("example.org", document(key(ROOT), key(leaf())))


def test_a_bundle_may_be_der_that_follows_der() -> None:
    der = b"".join(each.public_bytes(Encoding.DER) for each in (ROOT, SECOND))
    assert TrustBundle.from_der("example.org", der).roots == (ROOT, SECOND)
    with pytest.raises(BundleError, match="in DER, got something else"):
        TrustBundle.from_der("example.org", der[:-1])
    with pytest.raises(BundleError, match="in DER, got nothing"):
        TrustBundle.from_der("example.org", b"")


@pytest.mark.parametrize("trust_domain", ["", "Example.org", "spiffe://example.org"])
def test_a_bundle_needs_a_trust_domain(trust_domain: str) -> None:
    with pytest.raises(BundleError, match="trust domain must"):
        TrustBundle.from_pem(trust_domain, pem(ROOT))


@pytest.mark.parametrize(
    "text", [b"", b"hello", make.key_pem(make.key())], ids=["empty", "text", "key"]
)
def test_a_bundle_needs_a_certificate(text: bytes) -> None:
    """An empty file would mean that nothing of the trust domain is trusted."""
    with pytest.raises(BundleError, match="at least one certificate"):
        TrustBundle.from_pem("example.org", text)
    with pytest.raises(BundleError, match="at least one certificate"):
        parse_name_bundle(text)


@given(st.binary(max_size=200))
def test_any_file_is_a_bundle_error(text: bytes) -> None:
    for parse in (
        lambda pem: TrustBundle.from_pem("example.org", pem),
        parse_name_bundle,
    ):
        with pytest.raises(BundleError):
            parse(text)


NAME_ROOTS = {
    "version 1": make.version_1(name=make.ACME),
    "cA alone": signer(usage=None, san=None),
    "key usage alone": signer(basic=None, san=None),
    "key usage not critical": signer(usage=(usage("key_cert_sign"), False)),
    "an svid's authority": ROOT,
    "any name": signer(san=(sans("spiffe://other.test/a", dns=["a.org"]), False)),
}


@pytest.mark.parametrize("name", NAME_ROOTS)
def test_a_name_bundle_takes_what_older_tools_made(name: str) -> None:
    root = NAME_ROOTS[name]
    assert parse_name_bundle(pem(root, SECOND, root)) == (root, SECOND)


@pytest.mark.parametrize(
    ("clause", "root"),
    [
        ("RFC 5280 4.2.1.9", make.build([], name=make.ACME)),  # version 3 can say it
        (
            "RFC 5280 4.2.1.9",
            signer(
                basic=(x509.BasicConstraints(ca=False, path_length=None), True),
            ),
        ),
        ("RFC 5280 4.2.1.3", leaf()),
        ("RFC 5280 4.2.1.3", signer(usage=(usage("crl_sign"), True))),
        ("RFC 5280 4.2", make.duplicated_extension()),
    ],
)
def test_a_name_bundle_takes_no_certificate_that_cannot_be_a_ca(
    clause: str, root: x509.Certificate
) -> None:
    with pytest.raises(BundleError, match=r"certificate 1: ") as caught:
        parse_name_bundle(pem(root))
    assert clause in str(caught.value)
