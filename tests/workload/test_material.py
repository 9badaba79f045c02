from __future__ import annotations

import contextlib
import datetime as dt
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, strategies as st

from sidecar.config.crl import parse_crls
from sidecar.config.material import FileTrust
from sidecar.config.model import AdditionalIdentity, Identity
from sidecar.config.place import Invalid, written
from sidecar.workload.material import material_of, remarks
from sidecar.workload.protobuf import MessageError
from sidecar.workload.response import SentSvid, X509SvidResponse
from tests.support.agent import der, entry, issue, response
from tests.support.pki import new_authority, now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.config.material import Material
    from sidecar.identity.svid import Svid

HOUR = dt.timedelta(hours=1)
IDENTITY = Identity(workload_api="unix:///s")
AUTHORITY = new_authority()
PARTNER = new_authority("partner.test")
API = issue(AUTHORITY, "/ns/shop/sa/api")
BILLING = issue(AUTHORITY, "/ns/shop/sa/billing")


def judge(
    *svids: Any,
    identity: Identity = IDENTITY,
    files: FileTrust | None = None,
    former: Mapping[str | None, Svid] = MappingProxyType({}),
    **more: Any,
) -> Material:
    sent = X509SvidResponse.parse(response(*svids, **more).SerializeToString())
    return material_of(sent, identity, files or FileTrust(), now(), former)


def refusals(*svids: Any, **more: Any) -> list[str]:
    with pytest.raises(Invalid) as caught:
        judge(*svids, **more)
    return [f"{written(each.place)}: {each.what}" for each in caught.value.findings]


def test_the_first_svid_is_ours_and_its_bundle_that_of_its_trust_domain() -> None:
    material = judge(entry(API, AUTHORITY), entry(BILLING, AUTHORITY))
    assert material.svid == API
    assert material.svid.private_key.public_key() == API.leaf.public_key()
    assert material.bundles == {"example.org": AUTHORITY.bundle}
    assert (material.name_roots, material.crls) == ((), ())


def test_a_hint_chooses_the_first_that_has_it() -> None:
    identity = evolve(IDENTITY, hint="billing")
    sent = [
        entry(API, AUTHORITY),
        entry(BILLING, AUTHORITY, "billing"),
        entry(API, AUTHORITY, "billing"),
    ]
    assert judge(*sent, identity=identity).svid == BILLING


def test_a_hint_that_no_svid_has_is_a_problem_of_the_hint() -> None:
    identity = evolve(IDENTITY, hint="biling")
    sent = [entry(API, AUTHORITY), entry(BILLING, AUTHORITY, "billing")]
    assert refusals(*sent, identity=identity) == [
        "hint: expected the hint of an SVID that the agent has ('', 'billing'), "
        "got 'biling'"
    ]


def test_bundles_of_other_trust_domains_stay_apart() -> None:
    bundles = {"spiffe://partner.test": der([PARTNER.root])}
    found = judge(entry(API, AUTHORITY), federated=bundles).bundles
    assert found == {"example.org": AUTHORITY.bundle, "partner.test": PARTNER.bundle}


def test_a_name_of_a_trust_domain_alone_will_do() -> None:
    bundles = {"partner.test": der([PARTNER.root])}
    found = judge(entry(API, AUTHORITY), federated=bundles).bundles
    assert found["partner.test"] == PARTNER.bundle


def test_no_other_bundle_takes_the_place_of_our_own() -> None:
    bundles = {"spiffe://example.org": der([new_authority().root])}
    found = judge(entry(API, AUTHORITY), federated=bundles).bundles
    assert found == {"example.org": AUTHORITY.bundle}


def test_a_partner_whose_roots_have_expired_does_not_keep_us_from_ours() -> None:
    old = type(PARTNER).create("partner.test", now=now() - dt.timedelta(days=9000))
    bundles = {"spiffe://partner.test": der([old.root])}
    assert judge(entry(API, AUTHORITY), federated=bundles).svid == API


def test_lists_of_both_sources_count() -> None:
    crl = AUTHORITY.crl([7], now=now())
    files = FileTrust(crls=parse_crls(crl.public_bytes(Encoding.PEM)))
    sent = [crl.public_bytes(Encoding.DER)]
    assert judge(entry(API, AUTHORITY), crl=sent, files=files).crls == (crl, crl)


def test_a_list_that_has_not_begun_is_refused_while_that_matters() -> None:
    sent = AUTHORITY.crl([7], now=now() + HOUR).public_bytes(Encoding.DER)
    (line,) = refusals(entry(API, AUTHORITY), crl=[sent])
    assert "revocation list 1: list 1 is not valid before" in line
    message = response(entry(API, AUTHORITY), crl=[sent]).SerializeToString()
    parsed = X509SvidResponse.parse(message)
    assert len(material_of(parsed, IDENTITY, FileTrust(), None).crls) == 1


def test_roots_of_unnamed_peers_come_from_the_files() -> None:
    files = FileTrust(name_roots=(PARTNER.root,))
    assert judge(entry(API, AUTHORITY), files=files).name_roots == (PARTNER.root,)


def test_time_does_not_count_where_it_was_looked_at_before() -> None:
    old = issue(AUTHORITY, "/ns/shop/sa/api", -HOUR)
    sent = X509SvidResponse.parse(response(entry(old, AUTHORITY)).SerializeToString())
    assert material_of(sent, IDENTITY, FileTrust(), None).svid == old


ID = "identity.workload_api"
BROKEN: dict[str, tuple[Any, str]] = {
    "an expired SVID": (
        entry(issue(AUTHORITY, "/a", -HOUR), AUTHORITY),
        "must be valid until after",
    ),
    "another's key": (
        entry(API, AUTHORITY, x509_svid_key=entry(BILLING, AUTHORITY).x509_svid_key),
        "the private key must belong to the first certificate",
    ),
    "no key": (
        entry(API, AUTHORITY, x509_svid_key=b"0\0"),
        "must be an unencrypted private key in PKCS #8",
    ),
    "a certificate that is none": (
        entry(API, AUTHORITY, x509_svid=b"nothing"),
        "at least one certificate in DER, got something else",
    ),
    "the certificate of a CA": (
        entry(API, AUTHORITY, x509_svid=der([AUTHORITY.root])),
        "the private key must belong",
    ),
    "another's name": (
        entry(API, AUTHORITY, spiffe_id="spiffe://example.org/other"),
        "the certificate is one of spiffe://example.org/ns/shop/sa/api",
    ),
    "a bundle that is none": (
        entry(API, AUTHORITY, bundle=b"\x30\x80"),
        "sa/api': must be at least one certificate in DER",
    ),
    "a bundle of leaves": (
        entry(API, AUTHORITY, bundle=der(API.chain)),
        "sa/api': certificate 1: a signing certificate must have",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_breaks_a_rule_is_refused_and_named(case: str) -> None:
    sent, why = BROKEN[case]
    (line,) = refusals(sent)
    assert line.startswith("workload_api: ")
    assert why in line
    assert "PRIVATE" not in line


def test_a_name_that_is_no_spiffe_id_is_no_trust_domain_either() -> None:
    lines = refusals(entry(API, AUTHORITY, spiffe_id="api"))
    assert [line.partition(": ")[2][:4] for line in lines] == ["SVID", "bund"]


def test_all_that_is_wrong_is_said() -> None:
    lines = refusals(
        entry(API, AUTHORITY, x509_svid=b"x"),
        entry(BILLING, AUTHORITY, bundle=b"x"),
        crl=[b"x"],
    )
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("name", "sent", "kept", "wrong"),
    [
        ("spiffe://partner.test", b"", (), None),
        ("spiffe://partner.test", b"x", (), "must be at least one certificate in DER"),
        (
            "spiffe://partner.test",
            der([API.leaf, PARTNER.root, *API.chain]),
            (PARTNER.root,),
            "certificate 1 is left out: a signing certificate must have cA true",
        ),
        (
            "spiffe://partner.test/path",
            der([PARTNER.root]),
            None,
            "must have no path",
        ),
    ],
)
def test_a_partner_s_bundle_that_will_not_do_spoils_nothing_else(
    name: str, sent: bytes, kept: tuple[Any, ...] | None, wrong: str | None
) -> None:
    """Our own SVID is renewed whatever a partner puts into its bundle."""
    material = judge(entry(API, AUTHORITY), federated={name: sent})
    assert material.svid == API
    found = material.bundles.get("partner.test")
    assert (None if found is None else found.roots) == kept
    message = response(entry(API, AUTHORITY), federated={name: sent})
    answer = X509SvidResponse.parse(message.SerializeToString())
    said = [each.what for each in remarks(answer, IDENTITY)]
    assert len(said) == (wrong is not None)
    assert all(wrong in each for each in said if wrong)


def test_an_svid_that_is_not_ours_is_not_looked_at() -> None:
    broken = entry(BILLING, AUTHORITY, x509_svid=b"x")
    assert judge(entry(API, AUTHORITY), broken).svid == API


def test_additional_identities_are_chosen_by_their_hints() -> None:
    identity = evolve(IDENTITY, additional={"billing": AdditionalIdentity(hint="pays")})
    sent = [entry(API, AUTHORITY), entry(BILLING, AUTHORITY, "pays")]
    material = judge(*sent, identity=identity)
    assert (material.svid, material.additional) == (API, {"billing": BILLING})
    assert refusals(entry(API, AUTHORITY), identity=identity) == [
        "additional.billing.hint: expected the hint of an SVID that the agent has "
        "(''), got 'pays'"
    ]


PAYS = evolve(IDENTITY, additional={"billing": AdditionalIdentity(hint="pays")})


def test_all_that_the_agent_has_for_us_is_ours_whether_it_is_meant_or_not() -> None:
    material = judge(entry(API, AUTHORITY), entry(BILLING, AUTHORITY))
    assert material.granted == frozenset([API.name, BILLING.name])


def test_an_svid_that_is_absent_is_known_and_not_ours() -> None:
    former = {None: API, "billing": BILLING}
    material = judge(entry(API, AUTHORITY), identity=PAYS, former=former)
    assert (material.svid, material.additional) == (API, {"billing": BILLING})
    assert material.granted == frozenset([API.name])
    hinted = evolve(IDENTITY, hint="internal")
    material = judge(entry(BILLING, AUTHORITY), identity=hinted, former={None: API})
    assert (material.svid, material.granted) == (API, frozenset([BILLING.name]))


def test_a_name_is_followed_where_its_hint_is_gone() -> None:
    fresh = issue(AUTHORITY, "/ns/shop/sa/billing")
    sent = [entry(API, AUTHORITY), entry(fresh, AUTHORITY, "renamed")]
    material = judge(*sent, identity=PAYS, former={"billing": BILLING})
    assert material.additional == {"billing": fresh}
    assert material.granted == frozenset([API.name, BILLING.name])


def test_hints_that_no_svid_has_are_found() -> None:
    sent = response(entry(API, AUTHORITY, "internal")).SerializeToString()
    answer = X509SvidResponse.parse(sent)
    assert [*remarks(answer, IDENTITY)] == []
    (unmet,) = remarks(answer, PAYS)
    assert written(unmet.place) == "additional.billing.hint"
    assert unmet.what.endswith("that the agent has ('internal'), got 'pays'")


SENT = response(
    entry(API, AUTHORITY),
    entry(BILLING, AUTHORITY, "pays"),
    federated={"spiffe://partner.test": der([PARTNER.root])},
    crl=[AUTHORITY.crl([7], now=now()).public_bytes(Encoding.DER)],
).SerializeToString()


@given(
    st.lists(
        st.tuples(st.integers(0, len(SENT) - 1), st.integers(1, 255)),
        min_size=1,
        max_size=3,
    )
)
@pytest.mark.filterwarnings("ignore")  # cryptography warns of what others have done
def test_any_changed_bytes_are_material_or_are_refused(
    changes: list[tuple[int, int]],
) -> None:
    data = bytearray(SENT)
    for place, bits in changes:
        data[place] ^= bits
    identity = evolve(IDENTITY, additional={"b": AdditionalIdentity(hint="pays")})
    with contextlib.suppress(MessageError, Invalid):
        sent = X509SvidResponse.parse(bytes(data))
        material_of(sent, identity, FileTrust(), now())


@given(st.binary(max_size=99), st.binary(max_size=99), st.binary(max_size=99))
def test_any_bytes_in_the_place_of_certificates_are_refused(
    chain: bytes, key: bytes, bundle: bytes
) -> None:
    svid = SentSvid(str(API.name), chain, key, bundle, "")
    with pytest.raises(Invalid):
        material_of(X509SvidResponse((svid,)), IDENTITY, FileTrust(), now())
