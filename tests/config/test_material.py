from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, strategies as st

from sidecar.config.material import (
    load_material,
    read_file_trust,
    read_material,
    read_trust,
)
from sidecar.config.model import AdditionalIdentity, Identity, NameKind
from sidecar.config.place import Invalid
from sidecar.config.problems import ConfigError
from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from tests.config.authorities import (
    DAY,
    NOW,
    SPIFFE_ID,
    Authority,
    key_pem,
    pem,
    write_workload,
)

IDENTITY = Identity(Path("tls.crt"), Path("tls.key"), {"example.org": Path("ca.crt")})
NAMES = evolve(IDENTITY, accept=frozenset(NameKind), name_bundle=Path("legacy.crt"))
WITH_CRL = evolve(IDENTITY, crl=Path("ca.crl"))
ROOT = Authority.root()
OLD = NOW - 3 * DAY

Spoil = Callable[[], object]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good workload in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_workload(Path(), ROOT)
    Path("legacy.crt").write_bytes(pem(ROOT.certificate))
    Path("ca.crl").write_bytes(pem(ROOT.crl(NOW + DAY)))


def put(name: str, data: bytes) -> Spoil:
    def write() -> None:
        Path(name).touch(0o600)
        Path(name).write_bytes(data)

    return write


def refusals(identity: Identity, now: dt.datetime = NOW) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_material(identity, now)
    assert caught.value.source == "identity"
    return [str(problem) for problem in caught.value.problems]


def test_good_files_are_what_handshakes_are_made_of() -> None:
    material = load_material(WITH_CRL, NOW)
    assert material.svid.name == SpiffeId.parse(SPIFFE_ID)
    assert material.svid.chain[0].public_key() == material.svid.private_key.public_key()
    assert material.bundles.keys() == {"example.org"}
    assert material.bundles["example.org"].roots == (ROOT.certificate,)
    assert material.name_roots == ()
    assert len(material.crls) == 1
    assert material.accept == {NameKind.SPIFFE}


def test_no_revocation_list_is_none() -> None:
    assert load_material(IDENTITY, NOW).crls == ()


def test_peers_may_be_known_by_name_and_so_may_we() -> None:
    put("tls.crt", pem(ROOT.leaf(dns="cart.test")))()
    material = load_material(NAMES, NOW)
    assert isinstance(material.svid.name, CertificateNames)
    assert str(material.svid.name) == "dns:cart.test"
    assert material.name_roots == (ROOT.certificate,)


def test_a_spiffe_id_stays_one_where_names_count_too() -> None:
    assert load_material(NAMES, NOW).svid.name == SpiffeId.parse(SPIFFE_ID)


def test_no_bundle_is_needed_where_no_spiffe_id_counts() -> None:
    identity = evolve(NAMES, trust_bundles={}, accept=frozenset({NameKind.DNS}))
    assert load_material(identity, NOW).bundles == {}


def test_a_certificate_is_good_from_its_first_moment_to_its_last() -> None:
    for moment in (NOW - 30 * DAY, NOW + 3 * DAY):
        assert load_material(IDENTITY, moment).bundles


CHAIN, KEY = "identity.certificate_chain: tls.crt: ", "identity.private_key: tls.key: "
BUNDLE = "identity.trust_bundles.example.org: ca.crt: "


@pytest.mark.parametrize(
    ("spoil", "identity", "line"),
    [
        (lambda: Path("tls.crt").unlink(), IDENTITY, CHAIN + "no such file"),
        (lambda: Path("tls.key").unlink(), IDENTITY, KEY + "no such file"),
        (lambda: Path("ca.crt").unlink(), IDENTITY, BUNDLE + "no such file"),
        (
            lambda: Path("legacy.crt").unlink(),
            NAMES,
            "identity.name_bundle: legacy.crt: no such file",
        ),
        (
            lambda: Path("ca.crl").unlink(),
            WITH_CRL,
            "identity.crl: ca.crl: no such file",
        ),
        (
            put(
                "ca.crl", pem(ROOT.crl(NOW + DAY), ROOT.crl(NOW + DAY, NOW + DAY / 24))
            ),
            WITH_CRL,
            "identity.crl: ca.crl: list 2 is not valid before 2026-01-05 04:04:05 UTC, "
            "in 1 hour",
        ),
        (
            put("tls.crt", b"x" * (1024 * 1024 + 1)),
            IDENTITY,
            CHAIN + "larger than 1 MiB",
        ),
        (
            put("tls.crt", pem(ROOT.leaf(end=OLD))),
            IDENTITY,
            CHAIN + "expired 2026-01-02 03:04:05 UTC, 3 days ago",
        ),
        (
            put("tls.crt", pem(ROOT.leaf(), ROOT.leaf())),
            IDENTITY,
            CHAIN + "certificate 2: a signing certificate must have cA true, got false "
            "(X509-SVID 4.1)",
        ),
        (
            put("tls.crt", pem(ROOT.leaf(begin=NOW + dt.timedelta(hours=2)))),
            IDENTITY,
            CHAIN + "not valid before 2026-01-05 05:04:05 UTC, in 2 hours",
        ),
        (
            put("ca.crt", pem(Authority.root("root", end=OLD).certificate)),
            IDENTITY,
            BUNDLE + "expired 2026-01-02 03:04:05 UTC, 3 days ago",
        ),
        (
            put(
                "legacy.crt",
                pem(
                    Authority.root("root", end=OLD).certificate,
                    Authority.root("other", end=OLD - DAY).certificate,
                ),
            ),
            NAMES,
            "identity.name_bundle: legacy.crt: all 2 certificates expired, the last "
            "2026-01-02 03:04:05 UTC, 3 days ago",
        ),
        (
            put("ca.crl", b"nothing"),
            WITH_CRL,
            "identity.crl: ca.crl: must be certificate revocation lists in PEM, or "
            "one in DER, got something else",
        ),
    ],
)
def test_a_file_of_no_use_is_one_sentence(
    spoil: Spoil, identity: Identity, line: str
) -> None:
    spoil()
    assert refusals(identity) == [line]


@pytest.mark.parametrize(
    ("spoil", "identity", "begin", "words"),
    [
        (put("tls.crt", b"nothing"), IDENTITY, CHAIN, "PEM"),
        (put("tls.crt", key_pem()), IDENTITY, CHAIN, "PEM"),
        (
            put("tls.crt", ROOT.leaf().public_bytes(Encoding.DER)),
            IDENTITY,
            CHAIN,
            "inform der",
        ),
        (put("tls.key", b"nothing"), IDENTITY, KEY, "private key in PEM"),
        (put("tls.key", key_pem("leaf", b"secret")), IDENTITY, KEY, "openssl pkey"),
        (put("tls.key", key_pem("other")), IDENTITY, KEY, "must belong"),
        (
            put("tls.crt", pem(ROOT.certificate, ROOT.leaf())),
            IDENTITY,
            KEY,
            "put the leaf first",
        ),
        (
            put("tls.crt", pem(ROOT.leaf("spiffe://example.org"))),
            IDENTITY,
            CHAIN,
            "(X509-SVID",
        ),
        (put("tls.crt", pem(ROOT.leaf(SPIFFE_ID, SPIFFE_ID))), IDENTITY, CHAIN, "URI"),
        (put("tls.crt", pem(ROOT.leaf(dns="cart.test"))), IDENTITY, CHAIN, "URI"),
        (put("tls.crt", pem(ROOT.leaf("spiffe://x/"))), NAMES, CHAIN, "(SPIFFE-ID"),
        (put("ca.crt", b"nothing"), IDENTITY, BUNDLE, "PEM"),
        (put("ca.crt", pem(ROOT.leaf())), IDENTITY, BUNDLE, "certificate 1: "),
        (
            put("legacy.crt", pem(ROOT.leaf())),
            NAMES,
            "identity.name_bundle: legacy.crt: ",
            "certificate 1: ",
        ),
    ],
)
def test_a_broken_rule_is_said_at_the_key_of_its_file(
    spoil: Spoil, identity: Identity, begin: str, words: str
) -> None:
    spoil()
    line = next(line for line in refusals(identity) if line.startswith(begin))
    assert words in line


def test_no_sentence_shows_a_key() -> None:
    secret = key_pem("leaf", b"secret")
    put("tls.key", secret)()
    put("tls.crt", secret)()
    text = "\n".join(refusals(IDENTITY))
    assert not [line for line in secret.decode().splitlines() if line in text]


def test_every_file_is_looked_at() -> None:
    Path("ca.crt").unlink()
    put("tls.crt", pem(ROOT.leaf("spiffe://example.org", end=OLD)))()
    put("tls.key", key_pem("other"))()
    put("legacy.crt", b"")()
    put("ca.crl", b"")()
    lines = refusals(evolve(NAMES, crl=Path("ca.crl")))
    assert [line.split(": ")[0].removeprefix("identity.") for line in lines] == [
        "certificate_chain",
        "certificate_chain",
        "private_key",
        "trust_bundles.example.org",
        "name_bundle",
        "crl",
    ]


def test_a_key_is_looked_at_though_its_certificate_is_missing() -> None:
    put("tls.key", b"nothing")()
    Path("tls.crt").unlink()
    assert len(refusals(IDENTITY)) == 2


def test_a_certificate_is_looked_at_though_its_key_is_missing() -> None:
    Path("tls.key").unlink()
    put("tls.crt", pem(ROOT.leaf(end=OLD)))()
    assert len(refusals(IDENTITY)) == 2


def test_an_identity_that_nobody_checked_is_refused_too() -> None:
    assert refusals(Identity()) == [
        "identity.certificate_chain: missing",
        "identity.private_key: missing",
    ]


@given(data=st.binary(), name=st.sampled_from(["tls.crt", "tls.key", "ca.crt"]))
def test_any_bytes_are_material_or_its_problems(data: bytes, name: str) -> None:
    good = Path(name).read_bytes()
    Path(name).write_bytes(data)
    try:
        assert len(refusals(IDENTITY)) >= 1
    finally:
        Path(name).write_bytes(good)


def changed(data: bytes, at: int, value: int) -> bytes:
    index = at % len(data)
    return data[:index] + bytes([value]) + data[index + 1 :]


# A changed byte may be the serial number's; cryptography warns of negative ones.
@pytest.mark.filterwarnings("ignore::UserWarning")
@given(
    at=st.integers(0, 10_000),
    value=st.integers(0, 255),
    name=st.sampled_from(["tls.crt", "tls.key", "ca.crt", "ca.crl"]),
)
def test_any_changed_byte_is_material_or_its_problems(
    at: int, value: int, name: str
) -> None:
    good = Path(name).read_bytes()
    Path(name).write_bytes(changed(good, at, value))
    result: Any
    try:
        result = load_material(WITH_CRL, NOW)
    except ConfigError as error:
        result = error.problems
    finally:
        Path(name).write_bytes(good)
    assert result


BILLING = "spiffe://example.org/ns/shop/sa/billing"
TWO = evolve(
    IDENTITY,
    additional={"billing": AdditionalIdentity(Path("b.crt"), Path("b.key"))},
)


def test_additional_identities_have_their_own_certificates() -> None:
    put("b.crt", pem(ROOT.leaf(BILLING, name="billing")))()
    put("b.key", key_pem("billing"))()
    material = load_material(TWO, NOW)
    assert str(material.svid.name) == SPIFFE_ID
    assert {name: str(each.name) for name, each in material.additional.items()} == {
        "billing": BILLING
    }


def test_what_is_wrong_with_an_additional_identity_is_said_at_its_place() -> None:
    assert refusals(TWO) == [
        "identity.additional.billing.certificate_chain: b.crt: no such file",
        "identity.additional.billing.private_key: b.key: no such file",
    ]
    put("b.crt", pem(ROOT.leaf(BILLING, name="billing", end=OLD)))()
    put("b.key", key_pem())()
    lines = refusals(TWO)
    assert [line.partition(": ")[0] for line in lines] == [
        "identity.additional.billing.certificate_chain",
        "identity.additional.billing.private_key",
    ]
    assert "expired 2026-01-02 03:04:05 UTC, 3 days ago" in lines[0]
    assert "must belong to the first certificate" in lines[1]


def test_trust_needs_neither_certificate_nor_key() -> None:
    Path("tls.crt").unlink()
    Path("tls.key").unlink()
    trust = read_trust(evolve(NAMES, crl=Path("ca.crl")), NOW)
    assert trust.bundles.keys() == {"example.org"}
    assert (len(trust.name_roots), len(trust.crls)) == (1, 1)
    assert trust.accept == frozenset(NameKind)


def test_all_that_is_wrong_with_trust_is_told_at_once() -> None:
    Path("ca.crt").unlink()
    Path("ca.crl").unlink()
    with pytest.raises(Invalid) as caught:
        read_trust(WITH_CRL, NOW)
    assert [each.place for each in caught.value.findings] == [
        ("trust_bundles", "example.org"),
        ("crl",),
    ]


def test_what_was_good_is_not_judged_by_its_time_again() -> None:
    """A partner whose roots have ended must not keep us from renewing our own."""
    partner = Authority.root("partner", end=NOW + DAY)
    Path("partner.crt").write_bytes(pem(partner.certificate))
    both = {"example.org": Path("ca.crt"), "partner.test": Path("partner.crt")}
    identity = evolve(NAMES, trust_bundles=both)
    known = read_material(identity, NOW)
    later = max(NOW + 2 * DAY, known.svid.not_valid_after + DAY)
    assert read_material(identity, later, known) == known
    with pytest.raises(Invalid):
        read_material(identity, later)
    Path("partner.crt").write_bytes(pem(Authority.root("partner", end=OLD).certificate))
    with pytest.raises(Invalid) as caught:
        read_material(identity, NOW, known)
    (finding,) = caught.value.findings
    assert finding.place == ("trust_bundles", "partner.test")


def test_nor_are_the_roots_that_stand_beside_a_workload_api() -> None:
    known = read_file_trust(NAMES, NOW)
    assert known.name_roots
    later = max(root.not_valid_after_utc for root in known.name_roots) + DAY
    assert read_file_trust(NAMES, later, known) == known
    with pytest.raises(Invalid):
        read_file_trust(NAMES, later)
