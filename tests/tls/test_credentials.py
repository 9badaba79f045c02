from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL

from sidecar.certs.authority import Authority, new_key
from sidecar.certs.blueprint import alternative_names
from sidecar.certs.cases.world import World
from sidecar.certs.conformance import CASES
from sidecar.config.model import NameKind, Tls
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.telemetry.labels import Reason
from sidecar.tls.context import ALPN
from sidecar.tls.credentials import Credentials, NoCredentials
from sidecar.tls.refusal import Refusal
from sidecar.tls.verify import Proof, Verifier, utc_now
from tests.tls.peers import (
    ALERT,
    API,
    DONE,
    HOUR,
    NOW,
    client,
    client_of,
    context,
    converse,
    credentials,
    expecting,
    issue,
    leaf_plan,
    material,
    named_authority,
    plan_of,
    server,
    server_of,
    signed_with_sha1,
)

if TYPE_CHECKING:
    from sidecar.certs.cases.case import Case
    from sidecar.identity.svid import Svid
    from sidecar.tls.verify import PeerCheck

ANYBODY: Final = expecting("spiffe://example.org/**", "spiffe://partner.test/**")

# RFC 8446, 6.2, as OpenSSL maps its errors of verification.
ALERTS: Final = {
    Reason.EXPIRED: {45},  # certificate_expired
    Reason.NOT_YET_VALID: {42},  # bad_certificate
    Reason.REVOKED: {44},  # certificate_revoked
    Reason.NOT_AN_SVID: {42},
    Reason.UNKNOWN_TRUST_DOMAIN: {48},  # unknown_ca
    # unknown_ca where nothing leads to a root; certificate_expired for an issuer;
    # decrypt_error for a signature; certificate_unknown for a name constraint or an
    # extension; bad_certificate for an issuer that breaks a rule of X509-SVID.
    Reason.UNTRUSTED_CHAIN: {42, 45, 46, 48, 51},
}


# --- every certificate of the table, in a real handshake


@pytest.fixture(scope="module")
def world() -> World:
    return World.around(Authority.create("example.org", now=NOW), now=NOW)


@pytest.fixture(scope="module")
def listed(world: World) -> dict[bool, Credentials]:
    """Ours, by whether they have the revocation list."""
    api = issue(world.authority, API)
    return {
        with_crl: Credentials(
            material(api, *world.bundles, crls=[world.crl()] if with_crl else []),
            Tls(),
        )
        for with_crl in (False, True)
    }


of_each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def judged(
    ours: SSL.Connection, check: PeerCheck, theirs: SSL.Connection
) -> tuple[Reason, int | None]:
    """Let them talk; give why we refused the peer, and the alert that it saw."""
    end, peer = converse(ours, theirs)
    if end.outcomes == [DONE]:
        assert check.accepted
        assert check.refusal is None
        assert peer.outcomes == [DONE]
        return Reason.OK, None
    assert not check.accepted
    assert check.refusal is not None
    assert check.refusal.detail
    assert isinstance(peer.outcome, int)
    return check.refusal.reason, peer.outcome - ALERT


@of_each_case
def test_a_client_is_judged_as_the_table_says(
    world: World, listed: dict[bool, Credentials], case: Case
) -> None:
    shown = case.build(world)
    ours, check = listed[case.with_crl].accept()
    theirs = client(shown.chain, shown.private_key)
    reason, alert = judged(ours, check, theirs)
    assert reason is case.reason
    assert alert in ALERTS.get(case.reason, {None})


@of_each_case
def test_a_server_is_judged_as_the_table_says(
    world: World, listed: dict[bool, Credentials], case: Case
) -> None:
    shown = case.build(world)
    ours, check = listed[case.with_crl].connect(ANYBODY, None)
    theirs = server(shown.chain, shown.private_key)
    reason, alert = judged(ours, check, theirs)
    assert reason is case.reason
    assert alert in ALERTS.get(case.reason, {None})


@of_each_case
def test_tls_1_2_judges_a_client_alike(world: World, case: Case) -> None:
    shown = case.build(world)
    crls = [world.crl()] if case.with_crl else []
    # In TLS 1.2 the groups are also the curves of certificates (RFC 8422, 5.1).
    tls = Tls(minimum_version="1.2", groups=("X25519", "P-256", "P-384"))
    api = issue(world.authority, API)
    ours, check = Credentials(material(api, *world.bundles, crls=crls), tls).accept()
    theirs = client(shown.chain, shown.private_key, version=SSL.TLS1_2_VERSION)
    reason, alert = judged(ours, check, theirs)
    assert reason is case.reason
    assert alert in ALERTS.get(case.reason, {None})


# --- certificates that the table has no room for


def test_a_certificate_signed_with_sha1_is_refused(
    authority: Authority, ours: Credentials, cart: Svid
) -> None:
    weak = signed_with_sha1(cart.leaf, authority.private_key)
    accepting, check = ours.accept()
    theirs = client([weak], cart.private_key)
    assert judged(accepting, check, theirs) == (Reason.UNTRUSTED_CHAIN, 42)


def test_a_key_that_is_too_short_is_refused(
    authority: Authority, ours: Credentials
) -> None:
    key = rsa.generate_private_key(65537, 1024)
    accepting, check = ours.accept()
    theirs = client(authority.sign(leaf_plan(key)), key)
    assert judged(accepting, check, theirs) == (Reason.UNTRUSTED_CHAIN, 42)


@pytest.mark.parametrize("trusts", ["old", "new"])
def test_an_expired_cross_signature_hurts_only_who_needs_it(trusts: str) -> None:
    old, new = named_authority("example.org", "old"), named_authority("example.org")
    plan = evolve(plan_of(new.root), not_before=NOW - 2 * HOUR, not_after=NOW - HOUR)
    cart = issue(new)
    chain = (*cart.chain, plan.sign(old.private_key, old.root))
    ours, check = credentials({"old": old, "new": new}[trusts]).accept()
    reason, _ = judged(ours, check, client(chain, cart.private_key))
    assert reason is {"old": Reason.UNTRUSTED_CHAIN, "new": Reason.OK}[trusts]


def test_a_peer_known_by_name_must_be_fit_for_its_side(
    authority: Authority, api: Svid
) -> None:
    ours = Credentials(
        material(api, name_roots=[authority.root], accept=frozenset({NameKind.DNS})),
        Tls(),
    )
    key = new_key()
    plan = (
        leaf_plan(key)
        .extended(alternative_names([], ["a.example.org"]), critical=True)
        .extended(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
    )
    chain = authority.sign(plan)
    accepting, check = ours.accept()
    assert judged(accepting, check, client(chain, key)) == (Reason.OK, None)
    connecting, check = ours.connect(expecting("dns:a.example.org"), None)
    reason, alert = judged(connecting, check, server(chain, key))
    assert (reason, alert) == (Reason.NOT_AN_SVID, 43)  # unsupported_certificate


# --- who is expected


def test_a_server_that_was_not_expected_is_refused_by_an_alert(
    ours: Credentials, cart: Svid
) -> None:
    connecting, check = ours.connect(expecting(API), None)
    reason, alert = judged(connecting, check, server_of(cart))
    assert (reason, alert) == (Reason.UNEXPECTED_PEER, 42)


def test_nobody_is_expected_where_nobody_is_named(
    ours: Credentials, cart: Svid
) -> None:
    connecting, check = ours.connect(expecting(), None)
    reason, _ = judged(connecting, check, server_of(cart))
    assert reason is Reason.UNEXPECTED_PEER


def test_a_server_accepts_any_peer_that_it_can_verify(
    ours: Credentials, partner: Authority
) -> None:
    accepting, check = ours.accept()
    peer = issue(partner, "spiffe://partner.test/a")
    assert judged(accepting, check, client_of(peer)) == (Reason.OK, None)
    assert check.peer == peer.name
    assert check.expected is None


def test_two_connections_of_one_generation_share_no_verdict(
    ours: Credentials, cart: Svid, partner: Authority
) -> None:
    good, at_good = ours.accept()
    bad, at_bad = ours.accept()
    impostor = issue(Authority.create("example.org", now=NOW))
    converse(client_of(impostor), bad)
    converse(client_of(cart), good)
    assert at_good.accepted
    assert not at_bad.accepted
    assert at_good.refusal is None


# --- SNI and ALPN


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("api.shop.svc", b"api.shop.svc"),
        ("api.shop.svc.", b"api.shop.svc"),
        ("my_svc", b"my_svc"),
        ("a..b", b"a..b"),
        ("x" * 70 + ".test", b"x" * 70 + b".test"),
        ("x" * 255, b"x" * 255),
        ("x" * 256, None),
        ("bücher.test", None),
        ("", None),
        (".", None),
        ("a\0b", None),
        (None, None),
    ],
    ids=repr,
)
def test_a_name_is_sent_where_sni_can_carry_it(
    ours: Credentials, api: Svid, name: str | None, sent: bytes | None
) -> None:
    connecting, _ = ours.connect(expecting(API), name)
    theirs = server_of(api)
    converse(connecting, theirs)
    assert theirs.get_servername() == sent


@pytest.mark.parametrize("alpn", [True, False])
def test_our_protocol_is_offered_unless_it_was_refused(
    ours: Credentials, api: Svid, alpn: bool
) -> None:
    offered: list[list[bytes]] = []

    def select(_: SSL.Connection, names: list[bytes]) -> bytes:
        offered.append(names)
        return names[0]

    made = context(SSL.TLS_SERVER_METHOD, api.chain, api.private_key)
    made.set_alpn_select_callback(select)
    theirs = SSL.Connection(made, None)
    theirs.set_accept_state()
    connecting, _ = ours.connect(expecting(API), None, alpn=alpn)
    converse(connecting, theirs)
    assert offered == ([[ALPN]] if alpn else [])


def test_a_server_that_knows_no_protocol_of_ours_says_so(
    ours: Credentials, api: Svid
) -> None:
    made = context(SSL.TLS_SERVER_METHOD, api.chain, api.private_key)
    # What it raises is fatal, as RFC 7301, 3.2 allows.
    made.set_alpn_select_callback(lambda _, names: [][len(names)])
    theirs = SSL.Connection(made, None)
    theirs.set_accept_state()
    connecting, _ = ours.connect(expecting(API), None)
    end, _ = converse(connecting, theirs)
    assert end.outcome == ALERT + 120


# --- generations


def test_a_generation_is_known_by_its_number(authority: Authority, api: Svid) -> None:
    made = material(api, authority.bundle)
    assert Credentials(made, Tls(), generation=7).generation == 7
    assert Credentials(made, Tls()).material is made


def test_an_old_connection_keeps_the_generation_it_began_with(
    authority: Authority, partner: Authority, cart: Svid
) -> None:
    mesh = [credentials(authority)]
    begun, check = mesh[0].accept()
    mesh[0] = Credentials(material(mesh[0].material.svid, partner.bundle), Tls())
    assert judged(begun, check, client_of(cart)) == (Reason.OK, None)


def test_a_group_that_openssl_does_not_know_is_known_at_once(
    authority: Authority, api: Svid
) -> None:
    with pytest.raises(ValueError, match=r"^P-999$"):
        Credentials(material(api, authority.bundle), Tls(groups=("P-999",)))


def proof_of(authority: Authority, who: Svid) -> Proof:
    """By which somebody who trusts *authority* accepts *who*."""
    mine = material(who, authority.bundle)
    chain = tuple(each.public_bytes(Encoding.DER) for each in who.chain)
    found = Verifier(mine, utc_now).prove(chain)
    assert isinstance(found, Proof)
    return found


def test_whom_others_have_accepted_is_judged_as_in_a_handshake(
    authority: Authority, cart: Svid
) -> None:
    ours = credentials(authority)
    found = ours.still(proof_of(authority, cart))
    assert isinstance(found, Proof)
    assert found.peer == cart.name
    assert not ours.take_due()
    foreign = Authority.create("stranger.test", now=NOW)
    stranger = issue(foreign, "spiffe://stranger.test/cart")
    refused = ours.still(proof_of(foreign, stranger))
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.UNKNOWN_TRUST_DOMAIN


def test_what_was_accepted_before_a_renewal_of_our_own_is_not_verified_again(
    authority: Authority, cart: Svid
) -> None:
    mine = material(issue(authority, API), authority.bundle)
    first = Credentials(mine, Tls())
    renewed = evolve(mine, svid=issue(authority, API))
    proof = first.still(proof_of(authority, cart))
    assert isinstance(proof, Proof)
    assert Credentials(renewed, Tls(), before=first).still(proof) is proof
    assert Credentials(renewed, Tls()).still(proof) is not proof


def test_the_lenient_context_is_made_once(ours: Credentials) -> None:
    first, check = ours.accept(certificate_required=False)
    second, _ = ours.accept(certificate_required=False)
    assert first.get_context() is second.get_context()
    assert not check.required
    strict, check = ours.accept()
    assert strict.get_context() is not first.get_context()
    assert check.required


# --- What cannot be presented


def test_what_has_expired_is_unusable_and_no_moment_before() -> None:
    authority = Authority.create("example.org", now=NOW)
    mine = material(issue(authority, API), authority.bundle)
    end = NOW + HOUR

    def said(at: dt.datetime) -> str | None:
        return Credentials(mine, Tls(), clock=lambda: at).unusable()

    assert (said(NOW), said(end)) == (None, None)
    late = end + dt.timedelta(seconds=1)
    assert said(late) == f"our own certificate expired {end:%F %T} UTC"


def test_what_was_withdrawn_is_unusable() -> None:
    ours = credentials(Authority.create("example.org", now=NOW))
    assert ours.unusable() is None
    ours.withdrawn = "the agent says no"
    assert ours.unusable() == "the agent says no"


def test_before_the_first_nothing_is_presented_and_nobody_trusted() -> None:
    authority = Authority.create("example.org", now=NOW)
    nothing = NoCredentials(7)
    assert (nothing.generation, nothing.take_due()) == (7, False)
    assert nothing.unusable() == "no certificate has been issued to us yet"
    refusal = nothing.still(proof_of(authority, issue(authority, API)))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.UNKNOWN_TRUST_DOMAIN


# --- More than one identity


BILLING: Final = "spiffe://example.org/ns/shop/sa/billing"


def two_identities() -> Credentials:
    authority = Authority.create("example.org", now=NOW)
    mine = material(issue(authority, API), authority.bundle)
    additional = {"billing": issue(authority, BILLING)}
    return Credentials(evolve(mine, additional=additional), Tls())


@pytest.mark.parametrize(("identity", "name"), [(None, API), ("billing", BILLING)])
def test_each_identity_shows_its_own_certificate(
    identity: str | None, name: str
) -> None:
    ours = two_identities()
    accepted, _ = ours.of(identity).accept()
    calling, check = ours.connect(ANYBODY, None)
    converse(calling, accepted)
    assert str(check.peer) == name
    accepted, check = ours.accept()
    calling, _ = ours.of(identity).connect(ANYBODY, None)
    converse(calling, accepted)
    assert str(check.peer) == name


def test_an_identity_that_there_is_not_is_unusable() -> None:
    ours = two_identities()
    assert ours.of(None) is ours
    assert ours.of("shipping").unusable() == "we have no identity 'shipping'"
    assert ours.of("billing").unusable() is None
    ours.withdraw("the agent says no")
    for identity in (None, "billing", "shipping"):
        assert ours.of(identity).unusable() == "the agent says no"


def test_an_identity_that_is_not_granted_is_unusable_and_not_ours() -> None:
    both = two_identities().material
    first, second = both.svid.name, both.additional["billing"].name
    ours = Credentials(evolve(both, granted=frozenset([first])), Tls())
    assert (ours.unusable(), ours.is_ours(first)) == (None, True)
    assert ours.of("billing").unusable() == f"{BILLING} was taken from us"
    assert not ours.is_ours(second)
    ours.disown()
    assert not ours.is_ours(first)


def test_what_files_bring_is_ours() -> None:
    ours = two_identities()
    assert ours.is_ours(SpiffeId.parse("spiffe://example.org/whoever"))
    assert not NoCredentials(1).is_ours(SpiffeId.parse(API))


def test_all_that_is_presented_is_listed() -> None:
    ours = two_identities()
    names = {name: str(each.name) for name, each in ours.svids().items()}
    assert names == {None: API, "billing": BILLING}
    assert NoCredentials(1).svids() == {}
