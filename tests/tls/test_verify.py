from __future__ import annotations

import datetime as dt
import warnings
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, strategies as st

from sidecar.certs.authority import Authority, new_key
from sidecar.certs.blueprint import alternative_names
from sidecar.config.model import NameKind
from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.telemetry.labels import Reason
from sidecar.tls import stores, verify as module
from sidecar.tls.chain import Roots, Verified
from sidecar.tls.openssl_binding import (
    V_EXPIRED,
    V_HOSTNAME_MISMATCH,
    V_INVALID_PURPOSE,
    V_NOT_YET_VALID,
    V_OK,
    V_REJECTED,
    V_WEAK_DIGEST,
)
from sidecar.tls.refusal import Refusal
from sidecar.tls.verify import PeerCheck, Proof, Verifier, utc_now
from tests.tls.peers import (
    API,
    CART,
    HOUR,
    NOW,
    expecting,
    issue,
    leaf_plan,
    material,
    named_authority,
    revoke,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sidecar.config.material import Material
    from sidecar.identity.peer import Peer
    from sidecar.identity.svid import Svid

DNS = NameKind.DNS
SUBJECT = NameKind.SUBJECT
SPIFFE = NameKind.SPIFFE


_OURS = Authority.create("ours.test", now=NOW)


def ders(chain: Sequence[x509.Certificate]) -> tuple[bytes, ...]:
    return tuple(each.public_bytes(Encoding.DER) for each in chain)


def verifier(
    *authorities: Authority,
    names: Sequence[Authority] = (),
    crls: Iterable[x509.CertificateRevocationList] = (),
    accept: Iterable[NameKind] = (SPIFFE,),
    now: dt.datetime = NOW,
) -> Verifier:
    made = material(
        issue(_OURS, "spiffe://ours.test/a"),
        *(each.bundle for each in authorities),
        name_roots=[each.root for each in names],
        crls=crls,
        accept=frozenset(accept),
    )
    return Verifier(made, lambda: now)


def named_leaf(
    authority: Authority,
    *,
    dns: Sequence[str] = (),
    unit: str | None = None,
    uris: Sequence[str] = (),
) -> tuple[x509.Certificate, ...]:
    """A certificate of somebody outside the mesh."""
    plan = leaf_plan(new_key())
    if unit is not None:
        attribute = x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)
        plan = evolve(plan, subject=x509.Name([attribute]))
    plan = (
        plan.extended(alternative_names(uris, dns), critical=False)
        if dns or uris
        else plan.without(x509.SubjectAlternativeName)
    )
    return authority.sign(plan)


def reason(found: Peer | Refusal) -> Reason:
    return found.reason if isinstance(found, Refusal) else Reason.OK


# --- each trust domain by itself


def test_a_peer_is_who_its_own_trust_domain_says(
    authority: Authority, partner: Authority
) -> None:
    ours = verifier(authority, partner)
    for name, signer in ((CART, authority), ("spiffe://partner.test/a", partner)):
        found = ours.verify(ders(issue(signer, name).chain))
        assert found == SpiffeId.parse(name)


@pytest.mark.parametrize("same_name", [True, False])
def test_the_authority_of_one_domain_signs_nothing_of_another(same_name: bool) -> None:
    ours, theirs = (
        named_authority(domain, "CA" if same_name else domain)
        for domain in ("example.org", "partner.test")
    )
    chain = theirs.sign(leaf_plan(new_key(), CART))
    found = verifier(ours, theirs).verify(ders(chain))
    assert reason(found) is Reason.UNTRUSTED_CHAIN


def test_a_domain_without_a_bundle_is_unknown(
    authority: Authority, partner: Authority
) -> None:
    chain = issue(partner, "spiffe://partner.test/a").chain
    found = verifier(authority).verify(ders(chain))
    assert reason(found) is Reason.UNKNOWN_TRUST_DOMAIN
    assert isinstance(found, Refusal)
    assert "spiffe://partner.test/a" in found.detail


def test_a_partner_s_intermediate_does_not_help(
    authority: Authority, partner: Authority
) -> None:
    # Signed by the partner, with the name of our own intermediate.
    key = new_key()
    signer = authority.intermediate(now=NOW)
    plan = leaf_plan(key).extended(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    below = Authority(
        "example.org",
        (partner.intermediate(now=NOW).certificate, partner.root),
        partner.private_key,
    )
    chain = (
        plan.sign(below.private_key, signer.certificate),
        *below.path,
        authority.root,
    )
    found = verifier(authority, partner).verify(ders(chain))
    assert reason(found) is Reason.UNTRUSTED_CHAIN


def test_an_issuer_must_be_allowed_to_sign_svids(authority: Authority) -> None:
    key = new_key()
    plan = evolve(leaf_plan(key), subject=authority.root.subject)
    plan = plan.extended(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    ).without(x509.KeyUsage)
    signer = authority.below(plan, key)
    found = verifier(authority).verify(ders(signer.sign(leaf_plan(new_key()))))
    assert reason(found) is Reason.UNTRUSTED_CHAIN
    assert isinstance(found, Refusal)
    assert "X509-SVID" in found.detail


def test_lists_go_to_the_domain_whose_authority_signed_them() -> None:
    ours, theirs = named_authority("example.org"), named_authority("partner.test")
    cart, api = issue(ours), issue(theirs, "spiffe://partner.test/api")
    crl = revoke(ours, cart.leaf, identified=False)
    both = verifier(ours, theirs, crls=[crl])
    assert reason(both.verify(ders(cart.chain))) is Reason.REVOKED
    assert reason(both.verify(ders(api.chain))) is Reason.OK


def test_the_list_of_an_intermediate_goes_everywhere(
    authority: Authority, partner: Authority
) -> None:
    signer = partner.intermediate(now=NOW)
    api = issue(signer, "spiffe://partner.test/api")
    both = verifier(authority, partner, crls=[revoke(signer, api.leaf)])
    assert reason(both.verify(ders(api.chain))) is Reason.REVOKED
    assert reason(both.verify(ders(issue(authority).chain))) is Reason.OK


# --- names


def test_name_roots_validate_no_spiffe_id(
    authority: Authority, partner: Authority
) -> None:
    names = verifier(authority, names=[partner], accept=NameKind)
    chain = partner.sign(leaf_plan(new_key()))
    assert reason(names.verify(ders(chain))) is Reason.UNTRUSTED_CHAIN


def test_spiffe_bundles_validate_no_name(
    authority: Authority, partner: Authority
) -> None:
    names = verifier(authority, names=[partner], accept=NameKind)
    chain = named_leaf(authority, dns=["cart.example.org"])
    assert reason(names.verify(ders(chain))) is Reason.UNTRUSTED_CHAIN


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ({DNS}, CertificateNames(frozenset({"a.example.org"}), ())),
        ({SUBJECT}, CertificateNames(frozenset(), (("OU", "web"),))),
        (
            {DNS, SUBJECT},
            CertificateNames(frozenset({"a.example.org"}), (("OU", "web"),)),
        ),
        (
            {SPIFFE, DNS},
            CertificateNames(frozenset({"a.example.org"}), ()),
        ),
    ],
    ids=["dns", "subject", "both", "dns and spiffe"],
)
def test_only_names_of_a_kind_that_is_accepted_count(
    authority: Authority, accept: set[NameKind], expected: CertificateNames
) -> None:
    names = verifier(names=[authority], accept=accept)
    chain = named_leaf(authority, dns=["a.example.org"], unit="web")
    assert names.verify(ders(chain)) == expected


@pytest.mark.parametrize(
    ("accept", "dns", "unit"),
    [({DNS}, [], "web"), ({SUBJECT}, ["a.example.org"], None), ({DNS}, [], None)],
)
def test_a_certificate_without_an_accepted_name_is_refused(
    authority: Authority, accept: set[NameKind], dns: list[str], unit: str | None
) -> None:
    names = verifier(names=[authority], accept=accept)
    found = names.verify(ders(named_leaf(authority, dns=dns, unit=unit)))
    assert isinstance(found, Refusal)
    assert found.reason is Reason.NOT_AN_SVID
    (kind,) = accept
    assert f"identity.accept ({kind.value})" in found.detail


def test_a_spiffe_id_that_is_not_accepted_is_no_name(authority: Authority) -> None:
    names = verifier(names=[authority], accept={DNS, SUBJECT})
    chain = named_leaf(authority, dns=["a.example.org"], unit="web", uris=[CART])
    found = names.verify(ders(chain))
    assert isinstance(found, Refusal)
    assert found.reason is Reason.NOT_AN_SVID
    assert found.detail == (
        "expected one of identity.accept (dns, subject), got a SPIFFE ID"
    )


def test_a_broken_spiffe_id_is_not_read_as_a_name_instead(
    authority: Authority,
) -> None:
    names = verifier(authority, names=[authority], accept=NameKind)
    chain = named_leaf(authority, dns=["a.example.org"], uris=["spiffe://example.org"])
    found = names.verify(ders(chain))
    assert reason(found) is Reason.NOT_AN_SVID


def test_a_name_where_only_svids_count_breaks_their_rules(
    authority: Authority,
) -> None:
    found = verifier(authority).verify(ders(named_leaf(authority, dns=["a.test"])))
    assert isinstance(found, Refusal)
    assert found.reason is Reason.NOT_AN_SVID
    assert "URI SAN" in found.detail


def test_a_name_that_is_revoked_or_unknown_is_refused(
    authority: Authority, partner: Authority
) -> None:
    chain = named_leaf(authority, dns=["a.example.org"])
    crl = revoke(authority, chain[0])
    named = verifier(names=[authority], crls=[crl], accept={DNS})
    assert reason(named.verify(ders(chain))) is Reason.REVOKED
    unknown = named_leaf(partner, dns=["a.example.org"])
    assert reason(named.verify(ders(unknown))) is Reason.UNTRUSTED_CHAIN


# --- memory


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Each chain that OpenSSL was asked about."""
    asked: list[object] = []

    class Counting(Roots):
        def verify(
            self, chain: Sequence[x509.Certificate], now: dt.datetime
        ) -> Verified | Refusal:
            asked.append(tuple(chain))
            return super().verify(chain, now)

    monkeypatch.setattr(stores, "Roots", Counting)
    return asked


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> dt.datetime:
        return self.now


def test_a_chain_that_comes_again_is_not_verified_again(
    authority: Authority, cart: Svid, verified: list[object]
) -> None:
    ours = verifier(authority)
    found = [ours.verify(ders(cart.chain)) for _ in range(3)]
    assert found == [cart.name] * 3
    assert verified == [cart.chain]


def test_another_chain_of_the_same_leaf_is_verified(
    authority: Authority, cart: Svid, verified: list[object]
) -> None:
    ours = verifier(authority)
    ours.verify(ders(cart.chain))
    ours.verify(ders([*cart.chain, authority.root]))
    assert len(verified) == 2


def test_a_refusal_is_not_remembered(
    authority: Authority, partner: Authority, verified: list[object]
) -> None:
    ours = verifier(authority)
    chain = partner.sign(leaf_plan(new_key()))
    for _ in range(2):
        assert reason(ours.verify(ders(chain))) is Reason.UNTRUSTED_CHAIN
    assert len(verified) == 2


@pytest.mark.parametrize(
    ("passed", "times"),
    [
        (HOUR - dt.timedelta(seconds=1), 1),
        (HOUR, 2),
        (HOUR + dt.timedelta(seconds=1), 2),
    ],
)
def test_a_verdict_is_remembered_until_the_first_certificate_ends(
    authority: Authority,
    cart: Svid,
    verified: list[object],
    passed: dt.timedelta,
    times: int,
) -> None:
    clock = Clock()
    ours = Verifier(material(cart, authority.bundle), clock)
    ours.verify(ders(cart.chain))
    clock.now = NOW + passed
    ours.verify(ders(cart.chain))
    assert len(verified) == times


def test_what_is_due_is_told_once(authority: Authority, cart: Svid) -> None:
    clock = Clock()
    soon = issue(authority, now=NOW - HOUR / 2)  # it ends half an hour earlier
    ours = Verifier(material(cart, authority.bundle), clock)
    assert not ours.take_due()
    ours.verify(ders(cart.chain))
    ours.verify(ders(soon.chain))
    clock.now = NOW + HOUR / 2 - dt.timedelta(seconds=1)
    assert not ours.take_due()
    clock.now = NOW + HOUR / 2
    assert (ours.take_due(), ours.take_due()) == (True, False)
    ours.verify(ders(cart.chain))  # who is still there counts from then on
    clock.now = NOW + HOUR
    assert (ours.take_due(), ours.take_due()) == (True, False)


def test_what_is_refused_is_never_due(partner: Authority, cart: Svid) -> None:
    clock = Clock()
    ours = Verifier(material(cart, partner.bundle), clock)
    assert reason(ours.verify(ders(cart.chain))) is not Reason.OK
    clock.now = NOW + 10 * HOUR
    assert not ours.take_due()


def test_what_holds_no_more_is_forgotten(authority: Authority) -> None:
    clock = Clock()
    late = issue(authority, now=NOW - HOUR / 2)
    ours = Verifier(material(late, authority.bundle), clock)
    assert reason(ours.verify(ders(late.chain))) is Reason.OK
    clock.now = NOW + HOUR
    with_its_list = Verifier(
        material(late, authority.bundle, crls=[revoke(authority, late.leaf)]), clock
    )
    ours.stores = with_its_list.stores  # as if OpenSSL's clock had moved
    assert reason(ours.verify(ders(late.chain))) is Reason.REVOKED
    assert not ours._proofs
    assert not ours._chains


def test_a_verdict_is_not_remembered_beyond_a_list(
    authority: Authority, cart: Svid, verified: list[object]
) -> None:
    clock = Clock()
    crl = revoke(authority, end=NOW + HOUR / 2)
    ours = Verifier(material(cart, authority.bundle, crls=[crl]), clock)
    ours.verify(ders(cart.chain))
    clock.now = NOW + HOUR / 2
    ours.verify(ders(cart.chain))
    assert len(verified) == 2


def test_no_verdict_is_shared_with_another_generation(
    authority: Authority, partner: Authority, cart: Svid
) -> None:
    assert verifier(authority).verify(ders(cart.chain)) == cart.name
    later = verifier(authority, crls=[revoke(authority, cart.leaf)])
    assert reason(later.verify(ders(cart.chain))) is Reason.REVOKED


def test_memory_is_bounded_and_keeps_who_came_last(
    authority: Authority, verified: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 3)
    ours = verifier(authority)
    chains = [ders(issue(authority).chain) for _ in range(5)]
    for chain in chains:
        ours.verify(chains[0])
        ours.verify(chain)
        assert len(ours._proofs) <= 3
        assert len(ours._chains) <= 3
    assert len(verified) == 5
    ours.verify(chains[0])
    ours.verify(chains[4])
    assert len(verified) == 5
    ours.verify(chains[1])
    assert len(verified) == 6


def test_a_leaf_is_known_by_its_chain_without_what_was_not_needed(
    authority: Authority,
) -> None:
    ours = verifier(authority)
    cart = issue(authority.intermediate(now=NOW))
    other = authority.intermediate(now=NOW).certificate
    leaf, issuer = ders(cart.chain)
    assert ours.chain_of(leaf) == (leaf,)
    check = PeerCheck(ours)
    check.verdict(ders([*cart.chain, other, authority.root]))
    assert check.chain == ours.chain_of(leaf) == (leaf, issuer)


def test_a_leaf_of_several_chains_is_known_until_the_last_is_forgotten(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 2)
    ours = verifier(authority)
    cart = issue(authority.intermediate(now=NOW))
    shown = ders(cart.chain)
    ours.verify(ders([*cart.chain, authority.root]))
    ours.verify(shown)
    ours.verify(ders(issue(authority).chain))  # the first is forgotten
    assert ours.chain_of(shown[0]) == shown
    ours.verify(ders(issue(authority).chain))  # and the second
    assert ours.chain_of(shown[0]) == shown[:1]


def test_a_session_is_judged_by_the_chain_it_began_with(authority: Authority) -> None:
    ours = verifier(authority)
    cart = issue(authority.intermediate(now=NOW))
    leaf, issuer = ders(cart.chain)
    stranger = PeerCheck(ours)
    stranger.again(leaf)
    assert stranger.peer is None
    assert stranger.refusal is not None
    ours.verify((leaf, issuer))
    known = PeerCheck(ours)
    known.again(leaf)
    assert (known.peer, known.refusal) == (cart.name, None)
    nobody = PeerCheck(ours)
    nobody.again(None)
    assert (nobody.peer, nobody.refusal) == (None, None)


def test_what_is_remembered_does_not_grow_with_the_chain(
    authority: Authority, cart: Svid
) -> None:
    ours = verifier(authority)
    shown = [*cart.chain, *(authority.intermediate(now=NOW).certificate for _ in "ab")]
    ours.verify(ders(shown))
    ((key, _),) = ours._proofs.items()
    assert len(key) == 32


def test_certificates_that_are_cut_elsewhere_are_others(
    authority: Authority, seed: tuple[bytes, ...]
) -> None:
    ours = verifier(authority)
    assert reason(ours.verify(seed)) is Reason.OK
    leaf, issuer = seed
    for cut in ((leaf + issuer,), (leaf[:-1], leaf[-1:] + issuer), (leaf, issuer, b"")):
        assert reason(ours.verify(cut)) is Reason.NOT_AN_SVID


# --- who is still there


def proved(ours: Verifier, who: Svid) -> Proof:
    found = ours.prove(ders(who.chain))
    assert isinstance(found, Proof)
    return found


def test_who_is_still_there_is_not_verified_again(
    authority: Authority, partner: Authority, cart: Svid, verified: list[object]
) -> None:
    before = Verifier(material(cart, authority.bundle, partner.bundle), lambda: NOW)
    proof = proved(before, cart)
    alone = material(cart, authority.bundle)
    after = Verifier(alone, lambda: NOW, before=before)
    assert after.still(proof) is proof
    assert len(verified) == 1
    apart = Verifier(alone, lambda: NOW)
    again = apart.still(proof)
    assert isinstance(again, Proof)
    assert again is not proof
    assert apart.still(again) is again
    assert len(verified) == 2


def test_who_is_trusted_otherwise_is_judged_anew(
    authority: Authority, partner: Authority, cart: Svid
) -> None:
    before = Verifier(material(cart, authority.bundle, partner.bundle), lambda: NOW)
    foreign = issue(partner, "spiffe://partner.test/a")
    ours, theirs = proved(before, cart), proved(before, foreign)

    def left(changed: Material) -> list[Reason]:
        after = Verifier(changed, lambda: NOW, before=before)
        found = [after.still(each) for each in (ours, theirs)]
        return [r.reason if isinstance(r, Refusal) else Reason.OK for r in found]

    assert left(material(cart, authority.bundle)) == [
        Reason.OK,
        Reason.UNKNOWN_TRUST_DOMAIN,
    ]
    both = [authority.bundle, partner.bundle]
    crls = [revoke(partner, foreign.leaf)]
    assert left(material(cart, *both, crls=crls)) == [Reason.OK, Reason.REVOKED]
    exchanged = [
        evolve(authority.bundle, roots=partner.bundle.roots),
        evolve(partner.bundle, roots=authority.bundle.roots),
    ]
    assert left(material(cart, *exchanged)) == [Reason.UNTRUSTED_CHAIN] * 2
    names = material(cart, *both, name_roots=[partner.root], accept=frozenset({DNS}))
    assert left(names) == [Reason.NOT_AN_SVID] * 2


def test_who_is_still_there_is_due_by_time(authority: Authority, cart: Svid) -> None:
    clock = Clock()
    trust = material(cart, authority.bundle)
    before = Verifier(trust, clock)
    proof = proved(before, cart)
    after = Verifier(trust, clock, before=before)
    assert after.still(proof) is proof
    clock.now = NOW + HOUR - dt.timedelta(seconds=1)
    assert not after.take_due()
    clock.now = proof.until
    assert after.take_due()
    assert after.still(proof) is not proof  # it is asked about again


# --- hostile bytes


@pytest.fixture(scope="module")
def seed(authority: Authority) -> tuple[bytes, ...]:
    return ders(issue(authority.intermediate(now=NOW)).chain)


@pytest.mark.parametrize("chain", [(), (b"",), (b"\x30\x00",), (b"not DER", b"")])
def test_what_is_no_certificate_is_refused(
    authority: Authority, chain: tuple[bytes, ...]
) -> None:
    found = verifier(authority).verify(chain)
    assert reason(found) is Reason.NOT_AN_SVID


def test_a_version_that_does_not_exist_is_refused(
    authority: Authority, seed: tuple[bytes, ...]
) -> None:
    leaf = seed[0].replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x09", 1)
    with pytest.raises(x509.InvalidVersion):
        x509.load_der_x509_certificate(leaf)
    found = verifier(authority).verify((leaf, *seed[1:]))
    assert reason(found) is Reason.NOT_AN_SVID


@given(data=st.data())
def test_no_bytes_make_it_raise(
    authority: Authority, seed: tuple[bytes, ...], data: st.DataObject
) -> None:
    chain = [bytearray(each) for each in seed]
    changed = data.draw(st.sampled_from(chain))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.binary(max_size=2)
        )
    ours = verifier(authority, names=[authority], accept=NameKind)
    found = ours.verify(tuple(map(bytes, chain)))
    intact = chain[0] == seed[0]
    assert reason(found) is not Reason.OK or intact or bytes(changed) in seed


def test_what_the_parser_warns_of_is_kept_out_of_the_log(authority: Authority) -> None:
    # A country of three letters: the parser warns, whoever signed it.
    with warnings.catch_warnings(action="ignore"):
        attribute = x509.NameAttribute(NameOID.COUNTRY_NAME, "DEU", _validate=False)
        plan = evolve(leaf_plan(new_key()), subject=x509.Name([attribute]))
        names = plan.find(x509.SubjectAlternativeName)
        chain = ders(authority.sign(plan.extended(names, critical=False)))
    with pytest.warns(UserWarning, match="length"):
        _ = x509.load_der_x509_certificate(chain[0]).subject
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert reason(verifier(authority).verify(chain)) is Reason.OK
    assert not caught


# --- the check of one connection


def test_a_peer_that_was_expected_is_accepted(authority: Authority, cart: Svid) -> None:
    check = PeerCheck(verifier(authority), expecting(API, CART))
    assert not check.accepted
    assert check.verdict(ders(cart.chain)) == V_OK
    assert check.accepted
    assert (check.peer, check.refusal) == (cart.name, None)


@pytest.mark.parametrize(
    ("skew", "expected"),
    [(0, Reason.EXPIRED), (12, Reason.EXPIRED), (13, Reason.CLOCK_SKEW)],
)
def test_so_little_out_of_time_is_a_matter_of_clocks(
    authority: Authority, skew: int, expected: Reason
) -> None:
    late = issue(authority, now=NOW - HOUR - dt.timedelta(seconds=12))
    ours = Verifier(
        material(late, authority.bundle), lambda: NOW, dt.timedelta(seconds=skew)
    )
    check = PeerCheck(ours)
    assert check.verdict(ders(late.chain)) == V_EXPIRED
    assert check.refusal is not None
    assert check.refusal.reason is expected
    assert check.refusal.detail.startswith("certificate: expired 12 seconds ago, ")
    # Whoever resumes a session showed it when it was good.
    resumed = PeerCheck(ours, chain=ders(late.chain))
    resumed.again(None)
    assert resumed.refusal is not None
    assert resumed.refusal.reason is Reason.EXPIRED


def test_who_comes_too_early_is_told_how_long_to_wait(authority: Authority) -> None:
    early = issue(authority, now=NOW + HOUR / 2)
    now = early.leaf.not_valid_before_utc - dt.timedelta(seconds=3)
    ours = Verifier(
        material(early, authority.bundle), lambda: now, dt.timedelta(seconds=60)
    )
    check = PeerCheck(ours)
    assert check.verdict(ders(early.chain)) == V_NOT_YET_VALID
    assert check.refusal is not None
    assert check.refusal.reason is Reason.CLOCK_SKEW
    assert check.refusal.detail.startswith("certificate: valid in 3 seconds, from 20")


def test_an_issuer_that_expired_is_no_matter_of_clocks(authority: Authority) -> None:
    plan = evolve(leaf_plan(new_key()), not_after=NOW + HOUR)
    below = authority.intermediate(now=NOW - HOUR, lifetime=HOUR - HOUR / 60)
    chain = ders(below.sign(plan))
    ours = Verifier(
        material(issue(authority), authority.bundle), lambda: NOW, 24 * HOUR
    )
    check = PeerCheck(ours)
    check.verdict(chain)
    assert check.refusal is not None
    assert check.refusal.reason is Reason.UNTRUSTED_CHAIN
    assert check.refusal.offset is None


def test_a_peer_that_was_not_expected_is_refused(
    authority: Authority, cart: Svid
) -> None:
    check = PeerCheck(verifier(authority), expecting(API))
    assert check.verdict(ders(cart.chain)) == V_HOSTNAME_MISMATCH
    assert not check.accepted
    assert check.refusal is not None
    assert check.refusal.reason is Reason.UNEXPECTED_PEER
    assert CART in check.refusal.detail


def test_a_peer_nobody_knows_is_unknown_before_it_is_unexpected(
    authority: Authority, partner: Authority
) -> None:
    check = PeerCheck(verifier(authority), expecting(API))
    assert check.verdict(ders(partner.sign(leaf_plan(new_key())))) != V_OK
    assert check.refusal is not None
    assert check.refusal.reason is Reason.UNTRUSTED_CHAIN


@pytest.mark.parametrize(
    ("code", "depth", "expected"),
    [
        (V_EXPIRED, 0, Reason.EXPIRED),
        (V_EXPIRED, 1, Reason.UNTRUSTED_CHAIN),
        (V_INVALID_PURPOSE, 0, Reason.NOT_AN_SVID),
        (V_INVALID_PURPOSE, 1, Reason.UNTRUSTED_CHAIN),
        (V_WEAK_DIGEST, 1, Reason.UNTRUSTED_CHAIN),
        (V_REJECTED, 0, Reason.UNTRUSTED_CHAIN),
    ],
)
def test_a_fault_that_openssl_finds_is_final(
    authority: Authority, cart: Svid, code: int, depth: int, expected: Reason
) -> None:
    check = PeerCheck(verifier(authority))
    assert check.fault(code, depth) == code
    assert check.refusal is not None
    assert check.refusal.reason is expected


@pytest.mark.parametrize("code", [V_EXPIRED, V_NOT_YET_VALID])
def test_the_time_of_an_issuer_that_was_not_needed_is_overlooked(
    authority: Authority, cart: Svid, code: int
) -> None:
    check = PeerCheck(verifier(authority))
    check.verdict(ders(cart.chain))
    assert check.fault(code, 1) == V_OK
    assert check.accepted


@pytest.mark.parametrize(
    ("code", "depth"), [(V_EXPIRED, 0), (V_INVALID_PURPOSE, 1), (V_WEAK_DIGEST, 1)]
)
def test_a_fault_after_the_verdict_takes_it_back(
    authority: Authority, cart: Svid, code: int, depth: int
) -> None:
    check = PeerCheck(verifier(authority))
    check.verdict(ders(cart.chain))
    assert check.fault(code, depth) == code
    assert not check.accepted
    assert check.peer is None


def test_the_clock_is_of_this_world() -> None:
    before = dt.datetime.now(dt.UTC)
    assert before <= utc_now() <= dt.datetime.now(dt.UTC)
