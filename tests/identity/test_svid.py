"""SVIDs of peers and our own."""

from __future__ import annotations

import contextlib
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given, strategies as st

from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.identity.svid import (
    Svid,
    SvidError,
    check_signing_certificate,
    has_spiffe_uri,
    leaf_spiffe_id,
)
from tests.identity import certificates as make
from tests.identity.certificates import key, key_pem, leaf, pem, sans, signer, usage

GOOD_DER = leaf().public_bytes(Encoding.DER)
NO_SPIFFE_ID = leaf(san=None, name=make.ACME)


# --- peers ----------------------------------------------------------------------


def test_a_leaf_gives_its_spiffe_id() -> None:
    assert leaf_spiffe_id(leaf()) == SpiffeId.parse(make.SPIFFE_ID)


def test_the_longest_spiffe_id_is_given_whole() -> None:
    """SPIFFE-ID 2.3."""
    longest = "spiffe://example.org/".ljust(2048, "a")
    assert str(leaf_spiffe_id(leaf(san=(sans(longest), True)))) == longest


def test_a_broken_rule_is_an_svid_error_with_its_clause() -> None:
    with pytest.raises(SvidError, match="keyCertSign") as caught:
        leaf_spiffe_id(leaf(usage=(usage("digital_signature", "key_cert_sign"), True)))
    assert caught.value.clause == "X509-SVID 4.3"


def test_a_signing_certificate_never_names_a_peer() -> None:
    """X509-SVID 3.2, 5.2."""
    with pytest.raises(SvidError):
        leaf_spiffe_id(signer())


@pytest.mark.parametrize("fault", make.unreadable_extensions())
def test_an_unreadable_certificate_names_nobody(fault: str) -> None:
    certificate = make.unreadable_extensions()[fault]
    for read in (leaf_spiffe_id, has_spiffe_uri):
        with pytest.raises(SvidError):
            read(certificate)
    with pytest.raises(SvidError):
        check_signing_certificate(certificate, "example.org")


# The library warns of what it will refuse one day, such as a negative serial number.
@pytest.mark.filterwarnings("ignore::UserWarning")
@given(
    st.lists(
        st.tuples(st.integers(0, len(GOOD_DER) - 1), st.integers(1, 255)),
        min_size=1,
        max_size=4,
    )
)
def test_a_mutated_certificate_is_an_svid_or_an_svid_error(
    flips: list[tuple[int, int]],
) -> None:
    der = bytearray(GOOD_DER)
    for place, bits in flips:
        der[place] ^= bits
    try:
        certificate = x509.load_der_x509_certificate(bytes(der))
    except (ValueError, x509.InvalidVersion):
        return
    for read in (leaf_spiffe_id, has_spiffe_uri, CertificateNames.of):
        with contextlib.suppress(SvidError):
            read(certificate)


@pytest.mark.parametrize(
    ("san", "claims"),
    [
        (sans(make.SPIFFE_ID), True),
        (sans("SPIFFE://example.org/a"), True),
        (sans("https://a.org", "spiffe:nonsense"), True),
        (sans("https://a.org", dns=["a.org"]), False),
        (sans(dns=["spiffe.org"]), False),
        (None, False),
    ],
)
def test_a_claim_of_a_spiffe_id_is_seen_whether_it_is_valid_or_not(
    san: x509.SubjectAlternativeName | None, claims: bool
) -> None:
    certificate = leaf(san=(san, True) if san else None, name=make.ACME)
    assert has_spiffe_uri(certificate) is claims


# --- signing certificates ---------------------------------------------------------


def test_a_signing_certificate_may_sign_for_its_trust_domain() -> None:
    check_signing_certificate(signer(), "example.org")


def test_a_signing_certificate_needs_no_spiffe_id() -> None:
    """X509-SVID 3.2: it should have one."""
    check_signing_certificate(signer(san=None), "example.org")


def test_a_signing_certificate_of_another_trust_domain_is_refused() -> None:
    with pytest.raises(SvidError, match=r"'example\.org'.*got 'other\.test'") as caught:
        check_signing_certificate(
            signer(san=(sans("spiffe://other.test"), True)), "example.org"
        )
    assert caught.value.code == "signer-trust-domain"
    assert caught.value.clause == "X509-SVID 3.2"


def test_a_leaf_is_no_signing_certificate() -> None:
    with pytest.raises(SvidError, match="cA true"):
        check_signing_certificate(leaf(), "example.org")


# --- our own ----------------------------------------------------------------------


def test_an_svid_is_read_from_pem() -> None:
    chain = (leaf(), signer())
    svid = Svid.from_pem(pem(*chain), key_pem(key()), accept_names=False)
    assert svid.chain == chain
    assert svid.leaf == chain[0]
    assert svid.name == SpiffeId.parse(make.SPIFFE_ID)
    assert svid.not_valid_before == svid.leaf.not_valid_before_utc
    assert svid.not_valid_after == make.NOON + make.HOUR


UNFIT_SIGNERS = [
    (leaf(), "certificate 2: a signing certificate must have cA true"),
    (signer(usage=None), "certificate 2: a signing certificate must have keyCertSign"),
    (signer(san=(sans("spiffe://other.test"), True)), "certificate 2: .*trust"),
]


@pytest.mark.parametrize(("unfit", "message"), UNFIT_SIGNERS)
def test_a_chain_with_a_certificate_that_may_not_sign_is_refused(
    unfit: x509.Certificate, message: str
) -> None:
    private = key()
    with pytest.raises(SvidError, match=message) as caught:
        Svid.from_pem(pem(leaf(), unfit), key_pem(private), accept_names=True)
    assert caught.value.clause in {"X509-SVID 3.2", "X509-SVID 4.1", "X509-SVID 4.3"}
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(SvidError, match=message):
        Svid.from_der(GOOD_DER + unfit.public_bytes(Encoding.DER), der)


def test_what_comes_with_a_leaf_without_a_spiffe_id_may_be_anything() -> None:
    chain = pem(NO_SPIFFE_ID, leaf(usage=None))
    svid = Svid.from_pem(chain, key_pem(key()), accept_names=True)
    assert len(svid.chain) == 2


def test_the_key_is_never_printed() -> None:
    svid = Svid.from_pem(pem(leaf()), key_pem(key()), accept_names=False)
    assert "private" not in repr(svid)
    assert "example.org" in repr(svid)


def test_svids_are_equal_if_their_chains_are() -> None:
    """The key follows from the chain."""
    chain, private = pem(leaf()), key_pem(key())
    one = Svid.from_pem(chain, private, accept_names=False)
    assert one == Svid.from_pem(chain, private, accept_names=True)
    assert one != Svid.from_pem(pem(leaf(), signer()), private, accept_names=False)


def test_a_leaf_without_a_spiffe_id_is_known_by_its_names_where_they_count() -> None:
    svid = Svid.from_pem(pem(NO_SPIFFE_ID), key_pem(key()), accept_names=True)
    assert svid.name == CertificateNames(frozenset(), (("O", "Acme"),))


def test_a_leaf_without_a_spiffe_id_is_refused_where_they_do_not() -> None:
    with pytest.raises(SvidError, match="exactly one URI SAN"):
        Svid.from_pem(pem(NO_SPIFFE_ID), key_pem(key()), accept_names=False)


def test_a_bad_spiffe_id_is_not_passed_over_for_other_names() -> None:
    bad = leaf(san=(sans("SPIFFE://example.org/a", dns=["a.org"]), True))
    with pytest.raises(SvidError, match="must be a SPIFFE ID"):
        Svid.from_pem(pem(bad), key_pem(key()), accept_names=True)


@pytest.mark.parametrize("accept_names", [False, True])
def test_a_good_spiffe_id_counts_whether_names_do_or_not(accept_names: bool) -> None:
    svid = Svid.from_pem(pem(leaf()), key_pem(key()), accept_names=accept_names)
    assert isinstance(svid.name, SpiffeId)


@pytest.mark.parametrize(
    ("chain", "rule"),
    [
        pytest.param(b"", "must be PEM with at least one certificate", id="empty"),
        pytest.param(b"hello", "must be PEM", id="text"),
        pytest.param(
            key_pem(key()), "must be PEM with at least one certificate", id="key"
        ),
        pytest.param(GOOD_DER, "may be DER", id="der"),
        pytest.param(pem(leaf())[:200], "must be PEM", id="prefix"),
        pytest.param(
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "PEM",
            id="garbage",
        ),
    ],
)
def test_a_chain_that_cannot_be_read_is_an_svid_error(chain: bytes, rule: str) -> None:
    with pytest.raises(SvidError, match=rule) as caught:
        Svid.from_pem(chain, key_pem(key()), accept_names=False)
    assert caught.value.code == "pem-readable"


def test_a_key_that_is_not_the_leafs_is_an_svid_error() -> None:
    with pytest.raises(SvidError, match="must belong to the first certificate"):
        Svid.from_pem(pem(leaf()), key_pem(key("other")), accept_names=False)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_files_are_an_svid_or_an_svid_error(chain: bytes, private: bytes) -> None:
    with pytest.raises(SvidError):
        Svid.from_pem(chain, private, accept_names=True)


@pytest.mark.parametrize("twentieths", range(20))
def test_every_prefix_of_a_chain_is_refused(twentieths: int) -> None:
    chain = pem(leaf())
    cut = len(chain) * twentieths // 20
    with pytest.raises(SvidError):
        Svid.from_pem(chain[:cut], key_pem(key()), accept_names=False)


SECOND = dt.timedelta(seconds=1)


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (make.NOON - SECOND, "not-yet-valid"),
        (make.NOON, None),
        (make.NOON + make.HOUR, None),
        (make.NOON + make.HOUR + SECOND, "expired"),
    ],
)
def test_both_ends_belong_to_the_validity(now: dt.datetime, code: str | None) -> None:
    """RFC 5280 4.1.2.5: inclusive."""
    svid = Svid.from_pem(pem(leaf()), key_pem(key()), accept_names=False)
    if code is None:
        svid.check_time(now)
        return
    with pytest.raises(SvidError, match="must be valid") as caught:
        svid.check_time(now)
    assert caught.value.code == code
    assert caught.value.clause == "RFC 5280 4.1.2.5"


def test_our_own_may_come_in_der() -> None:
    der = key().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    issuer = signer()
    svid = Svid.from_der(GOOD_DER + issuer.public_bytes(Encoding.DER), der)
    assert [each.public_bytes(Encoding.DER) for each in svid.chain[:1]] == [GOOD_DER]
    assert svid.chain[1:] == (issuer,)
    assert str(svid.name) == make.SPIFFE_ID
    with pytest.raises(SvidError, match="URI SAN"):
        Svid.from_der(NO_SPIFFE_ID.public_bytes(Encoding.DER), der)
    with pytest.raises(SvidError, match="must belong to the first certificate"):
        Svid.from_der(signer().public_bytes(Encoding.DER) + GOOD_DER, other_key())


def other_key() -> bytes:
    other = key("other")
    return other.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
