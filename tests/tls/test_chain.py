from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sidecar.certs.authority import Authority, new_key
from sidecar.telemetry.labels import Reason
from sidecar.tls.chain import Roots, Verified, _is_weak, has_signed, refusal_of
from sidecar.tls.openssl_binding import (
    V_EXPIRED,
    V_NO_ISSUER,
    V_NOT_YET_VALID,
    V_REVOKED,
)
from sidecar.tls.refusal import Refusal
from tests.tls.peers import (
    CART,
    HOUR,
    NOW,
    issue,
    leaf_plan,
    named_authority,
    plan_of,
    revoke,
    sign_without_identifier,
    signed_with_sha1,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.identity.svid import Svid


def roots_of(
    *authorities: Authority, lists: Sequence[x509.CertificateRevocationList] = ()
) -> Roots:
    return Roots(tuple(each.root for each in authorities), tuple(lists))


def reason(
    roots: Roots, chain: Sequence[x509.Certificate], now: dt.datetime = NOW
) -> Reason:
    found = roots.verify(chain, now)
    return found.reason if isinstance(found, Refusal) else Reason.OK


def until(roots: Roots, svid: Svid, now: dt.datetime = NOW) -> dt.datetime:
    found = roots.verify(svid.chain, now)
    assert isinstance(found, Verified)
    return found.until


# --- what OpenSSL's errors mean


@pytest.mark.parametrize(
    ("code", "depth", "expected"),
    [
        (V_EXPIRED, 0, Reason.EXPIRED),
        (V_EXPIRED, 1, Reason.UNTRUSTED_CHAIN),
        (V_NOT_YET_VALID, 0, Reason.NOT_YET_VALID),
        (V_NOT_YET_VALID, 2, Reason.UNTRUSTED_CHAIN),
        (V_REVOKED, 0, Reason.REVOKED),
        (V_REVOKED, 1, Reason.REVOKED),
        (V_NO_ISSUER, 0, Reason.UNTRUSTED_CHAIN),
    ],
)
def test_an_error_has_a_reason(code: int, depth: int, expected: Reason) -> None:
    assert refusal_of(code, depth).reason is expected
    assert refusal_of(code, depth).code == code


def test_an_error_says_where_it_is() -> None:
    assert refusal_of(V_EXPIRED, 0).detail == "certificate: certificate has expired"
    assert (
        refusal_of(V_EXPIRED, 2).detail
        == "issuer 2 of its chain: certificate has expired"
    )


# --- paths


def test_a_leaf_of_the_root_needs_no_issuer(authority: Authority, cart: Svid) -> None:
    found = roots_of(authority).verify(cart.chain, NOW)
    assert found == Verified((), cart.not_valid_after)


def test_the_issuers_are_those_that_were_needed(authority: Authority) -> None:
    lower = authority.intermediate(now=NOW).intermediate(now=NOW)
    other = authority.intermediate(now=NOW)
    cart = issue(lower)
    chain = [*cart.chain, other.certificate, authority.root]
    found = roots_of(authority).verify(chain, NOW)
    assert isinstance(found, Verified)
    assert found.issuers == cart.chain[1:]


def test_of_several_roots_any_will_do(authority: Authority, cart: Svid) -> None:
    another = Authority.create("example.org", now=NOW)
    assert reason(roots_of(another, authority), cart.chain) is Reason.OK


def test_no_root_verifies_nothing(cart: Svid) -> None:
    assert reason(Roots(()), cart.chain) is Reason.UNTRUSTED_CHAIN


@pytest.mark.parametrize("shown", [False, True])
def test_a_root_need_not_sign_itself(authority: Authority, shown: bool) -> None:
    signer = authority.intermediate(now=NOW)
    cart = issue(signer)
    roots = Roots((signer.certificate,))
    assert reason(roots, cart.chain if shown else [cart.leaf]) is Reason.OK
    assert reason(roots, issue(authority).chain) is Reason.UNTRUSTED_CHAIN


@pytest.mark.parametrize("identified", [True, False])
@pytest.mark.parametrize("shown", [True, False])
def test_a_ca_of_the_same_name_is_another_one(identified: bool, shown: bool) -> None:
    ours, theirs = named_authority("example.org"), named_authority("example.org")
    assert ours.root.subject == theirs.root.subject
    plan = leaf_plan(new_key())
    leaf = (
        plan.sign(theirs.private_key, theirs.root)
        if identified
        else sign_without_identifier(plan, theirs.private_key, theirs.root)
    )
    chain = [leaf, theirs.root] if shown else [leaf]
    assert reason(roots_of(ours), chain) is Reason.UNTRUSTED_CHAIN
    assert reason(roots_of(theirs), chain) is Reason.OK


def cross_signed(
    old: Authority,
    new: Authority,
    begin: dt.datetime = NOW - HOUR,
    end: dt.datetime = NOW + 2 * HOUR,
) -> Authority:
    """The new root as an issuer below the old one."""
    plan = evolve(plan_of(new.root), not_before=begin, not_after=end)
    signed = plan.sign(old.private_key, old.root)
    return Authority(new.trust_domain, (signed, old.root), new.private_key)


def test_a_cross_signed_root_leads_to_both() -> None:
    old, new = named_authority("example.org", "old"), named_authority("example.org")
    cart = issue(cross_signed(old, new))
    assert len(cart.chain) == 2
    for roots in (roots_of(old), roots_of(new), roots_of(old, new)):
        assert reason(roots, cart.chain) is Reason.OK


def test_an_expired_cross_signature_does_not_matter_to_who_has_the_new_root() -> None:
    old, new = named_authority("example.org", "old"), named_authority("example.org")
    expired = cross_signed(old, new, begin=NOW - 2 * HOUR, end=NOW - HOUR)
    key = new_key()
    cart = evolve(issue(new), chain=expired.sign(leaf_plan(key)), private_key=key)
    assert reason(roots_of(new), cart.chain) is Reason.OK
    assert reason(roots_of(old), cart.chain) is Reason.UNTRUSTED_CHAIN


# --- time


def test_an_expired_root_is_no_root() -> None:
    begin = NOW - 3 * HOUR
    authority = Authority.create("example.org", now=begin, lifetime=HOUR)
    key = new_key()
    leaf = leaf_plan(key).sign(authority.private_key, authority.root)
    assert reason(roots_of(authority), [leaf]) is Reason.UNTRUSTED_CHAIN


def test_an_answer_holds_until_the_leaf_ends(authority: Authority, cart: Svid) -> None:
    assert until(roots_of(authority), cart) == NOW + HOUR


def test_an_answer_holds_no_longer_than_an_issuer(authority: Authority) -> None:
    signer = authority.intermediate(now=NOW, lifetime=HOUR)
    key = new_key()
    plan = evolve(leaf_plan(key), not_after=NOW + 2 * HOUR)
    cart = evolve(issue(signer), chain=signer.sign(plan), private_key=key)
    assert until(roots_of(authority), cart) == NOW + HOUR


def test_an_answer_holds_no_longer_than_the_root() -> None:
    authority = Authority.create("example.org", now=NOW, lifetime=HOUR)
    key = new_key()
    plan = evolve(leaf_plan(key), not_after=NOW + 2 * HOUR)
    cart = evolve(issue(authority), chain=authority.sign(plan), private_key=key)
    assert until(roots_of(authority), cart) == NOW + HOUR


def test_an_answer_holds_no_longer_than_a_list(
    authority: Authority, cart: Svid
) -> None:
    soon = revoke(authority, end=NOW + HOUR / 2)
    assert until(roots_of(authority, lists=[soon]), cart) == NOW + HOUR / 2


def test_in_its_last_second_a_list_is_known_for_no_longer(
    authority: Authority, cart: Svid
) -> None:
    soon = revoke(authority, end=NOW + HOUR / 2)
    end = NOW + HOUR / 2
    in_it = end + dt.timedelta(seconds=0.9)
    assert until(roots_of(authority, lists=[soon]), cart, in_it) == end


def test_a_list_that_is_out_of_date_and_of_another_shortens_nothing(
    authority: Authority, partner: Authority, cart: Svid
) -> None:
    late = revoke(partner, begin=NOW - 2 * HOUR, end=NOW - HOUR)
    assert until(roots_of(authority, lists=[late]), cart) == NOW + HOUR


# --- what RFC 5280 leaves to OpenSSL's security level


@pytest.mark.parametrize("depth", [0, 1])
def test_a_broken_digest_signs_nothing(authority: Authority, depth: int) -> None:
    signer = authority.intermediate(now=NOW)
    chain = list(issue(signer).chain)
    key = (signer, authority)[depth].private_key
    chain[depth] = signed_with_sha1(chain[depth], key)
    found = roots_of(authority).verify(chain, NOW)
    assert isinstance(found, Refusal)
    assert found.reason is Reason.UNTRUSTED_CHAIN
    assert "digest" in found.detail
    assert found.detail.startswith(("certificate", "issuer 1")[depth])


def test_a_root_is_trusted_however_it_signs_itself(authority: Authority) -> None:
    old = signed_with_sha1(authority.root, authority.private_key)
    assert reason(Roots((old,)), issue(authority).chain) is Reason.OK


def test_a_digest_that_nobody_knows_is_weak(authority: Authority, cart: Svid) -> None:
    unknown = signed_with_sha1(cart.leaf, authority.private_key, algorithm=b"\x2a\x03")
    assert _is_weak(unknown)
    assert not _is_weak(cart.leaf)


# --- revocation


def test_a_leaf_on_the_list_is_revoked(authority: Authority, cart: Svid) -> None:
    roots = roots_of(authority, lists=[revoke(authority, cart.leaf)])
    assert reason(roots, cart.chain) is Reason.REVOKED
    assert reason(roots, issue(authority).chain) is Reason.OK


@pytest.mark.parametrize("identified", [True, False])
def test_the_list_of_another_ca_does_not_matter(
    authority: Authority, partner: Authority, cart: Svid, identified: bool
) -> None:
    other = revoke(partner, cart.leaf, identified=identified)
    assert reason(roots_of(authority, lists=[other]), cart.chain) is Reason.OK


def test_the_list_of_another_key_of_the_same_name_does_not_matter() -> None:
    ours, theirs = named_authority("example.org"), named_authority("example.org")
    cart = issue(ours)
    other = revoke(theirs, cart.leaf)
    assert reason(roots_of(ours, lists=[other]), cart.chain) is Reason.OK


def test_a_list_of_the_root_leaves_the_leaves_of_intermediates_alone(
    authority: Authority,
) -> None:
    cart = issue(authority.intermediate(now=NOW))
    assert reason(roots_of(authority, lists=[revoke(authority)]), cart.chain) is (
        Reason.OK
    )


def test_an_issuer_on_the_list_is_revoked(authority: Authority) -> None:
    cart = issue(authority.intermediate(now=NOW).intermediate(now=NOW))
    upper = cart.chain[-1]
    found = roots_of(authority, lists=[revoke(authority, upper)]).verify(
        cart.chain, NOW
    )
    assert isinstance(found, Refusal)
    assert found.reason is Reason.REVOKED
    assert found.detail.startswith("issuer 2")


def test_the_list_of_an_intermediate_counts_without_one_of_the_root(
    authority: Authority,
) -> None:
    signer = authority.intermediate(now=NOW)
    cart = issue(signer)
    roots = roots_of(authority, lists=[revoke(signer, cart.leaf)])
    assert reason(roots, cart.chain) is Reason.REVOKED
    assert reason(roots, issue(signer).chain) is Reason.OK
    assert reason(roots, issue(authority).chain) is Reason.OK


def test_the_list_of_a_root_that_does_not_sign_itself_counts(
    authority: Authority,
) -> None:
    signer = authority.intermediate(now=NOW)
    cart = issue(signer)
    roots = Roots((signer.certificate,), (revoke(signer, cart.leaf),))
    assert reason(roots, cart.chain) is Reason.REVOKED
    assert reason(roots, issue(signer).chain) is Reason.OK


@pytest.mark.parametrize(
    ("begin", "end"),
    [(NOW - 2 * HOUR, NOW - HOUR), (NOW + HOUR, NOW + 2 * HOUR)],
    ids=["expired", "not yet valid"],
)
def test_a_list_out_of_its_time_is_believed_nothing_more(
    authority: Authority, cart: Svid, begin: dt.datetime, end: dt.datetime
) -> None:
    roots = roots_of(authority, lists=[revoke(authority, begin=begin, end=end)])
    assert reason(roots, cart.chain) is Reason.UNTRUSTED_CHAIN


def test_a_list_with_a_broken_signature_is_believed_nothing_more() -> None:
    ours, theirs = named_authority("example.org"), named_authority("example.org")
    forged = revoke(theirs, identified=False)
    assert reason(roots_of(ours, lists=[forged]), issue(ours).chain) is (
        Reason.UNTRUSTED_CHAIN
    )


def test_whose_a_list_is_shows_in_its_signature(
    authority: Authority, partner: Authority
) -> None:
    ours, theirs = named_authority("example.org"), named_authority("partner.test")
    crl = revoke(theirs)
    assert has_signed([authority.root, theirs.root], crl)
    assert not has_signed([authority.root, partner.root, ours.root], crl)
    assert not has_signed([], crl)


def test_a_key_that_signs_nothing_signed_no_list() -> None:
    ours = named_authority("example.org")
    key = x25519.X25519PrivateKey.generate().public_key()
    root = evolve(plan_of(ours.root), public_key=key).sign(ours.private_key)
    assert not has_signed([root], revoke(ours))


# --- hostile bytes


def test_a_certificate_that_openssl_cannot_read_is_refused(
    authority: Authority,
) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "unreadable")])
    plan = evolve(leaf_plan(new_key(), CART), subject=subject)
    leaf = plan.sign(authority.private_key, authority.root)
    data = leaf.public_bytes(Encoding.DER).replace(b"unreadable", b"\xff" * 10)
    broken = x509.load_der_x509_certificate(data)
    assert reason(roots_of(authority), [broken]) is Reason.UNTRUSTED_CHAIN
