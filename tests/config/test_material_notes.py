from __future__ import annotations

import os
from pathlib import Path

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sidecar.config.material import load_material
from sidecar.config.material_notes import notes_on_material
from sidecar.config.model import Identity, NameKind
from sidecar.config.place import written
from tests.config.authorities import DAY, NOW, Authority, key, pem, write_workload

IDENTITY = Identity(Path("tls.crt"), Path("tls.key"), {"example.org": Path("ca.crt")})
ROOT, OTHER = Authority.root(), Authority.root("other")
OLD = NOW - 3 * DAY


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good workload in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_workload(Path(), ROOT)


def put(name: str, *certificates: x509.Certificate) -> None:
    Path(name).write_bytes(pem(*certificates))


def notes(identity: Identity = IDENTITY) -> list[str]:
    found = notes_on_material(identity, load_material(identity, NOW), NOW)
    return [f"{written(finding.place)}: {finding.what}" for finding in found]


def test_good_files_get_no_note() -> None:
    assert notes() == []


@pytest.mark.parametrize("mode", [0o640, 0o660])
def test_a_key_that_our_group_can_reach_gets_a_note(mode: int) -> None:
    os.chown("tls.key", -1, os.getegid())
    Path("tls.key").chmod(mode)
    assert notes() == [
        f"private_key: tls.key: others than its owner have access, mode {mode:04o}"
    ]


def test_a_key_that_others_may_reach_gets_none() -> None:
    Path("tls.key").chmod(0o666)
    assert notes(evolve(IDENTITY, allow_readable_key=True)) == []


def test_a_key_that_went_away_gets_no_note() -> None:
    material = load_material(IDENTITY, NOW)
    Path("tls.key").unlink()
    assert list(notes_on_material(IDENTITY, material, NOW)) == []


def test_a_key_from_a_workload_api_has_no_file_to_look_at() -> None:
    material = load_material(IDENTITY, NOW)
    issued = Identity(workload_api="unix:///run/agent.sock")
    assert list(notes_on_material(issued, material, NOW)) == []


def test_a_chain_through_intermediates_leads_to_its_root() -> None:
    upper = ROOT.intermediate("upper")
    lower = upper.intermediate("lower")
    put("tls.crt", lower.leaf(), upper.certificate, lower.certificate)
    assert notes() == []


def test_a_chain_may_bring_its_root() -> None:
    put("tls.crt", ROOT.leaf(), ROOT.certificate)
    assert notes() == []


def test_an_intermediate_may_be_what_is_trusted() -> None:
    middle = ROOT.intermediate("middle")
    put("tls.crt", middle.leaf(), middle.certificate)
    put("ca.crt", middle.certificate)
    assert notes() == []


@pytest.mark.parametrize("kind", ["another root", "a missing link", "same name"])
def test_a_certificate_of_another_authority_gets_a_note(kind: str) -> None:
    put("tls.crt", ROOT.leaf())
    if kind == "another root":
        put("ca.crt", OTHER.certificate)
    elif kind == "a missing link":
        put("tls.crt", ROOT.intermediate("middle").leaf(), OTHER.certificate)
    else:
        namesake = x509.CertificateBuilder(
            issuer_name=ROOT.certificate.subject,
            subject_name=ROOT.certificate.subject,
            public_key=key("other").public_key(),
            serial_number=1,
            not_valid_before=NOW - DAY,
            not_valid_after=NOW + DAY,
            extensions=list(ROOT.certificate.extensions),
        )
        put("ca.crt", namesake.sign(key("other"), hashes.SHA256()))
    assert notes() == [
        "trust_bundles.example.org: our own certificate does not lead to these "
        "roots: peers with the same bundle refuse us"
    ]


def test_our_own_trust_domain_without_a_bundle_gets_a_note() -> None:
    put("tls.crt", ROOT.leaf("spiffe://other.test/a"))
    assert notes() == [
        "trust_bundles: no bundle of our own trust domain, 'other.test': its "
        "workloads are refused"
    ]


def test_where_names_count_our_trust_domain_does_not() -> None:
    put("legacy.crt", ROOT.certificate)
    by_name = evolve(
        IDENTITY,
        trust_bundles={},
        accept=frozenset({NameKind.DNS}),
        name_bundle=Path("legacy.crt"),
    )
    assert notes(by_name) == []
    put("tls.crt", ROOT.leaf(dns="cart.test"))
    both = evolve(
        by_name, trust_bundles=IDENTITY.trust_bundles, accept=frozenset(NameKind)
    )
    assert notes(both) == []


def test_an_expired_intermediate_gets_a_note() -> None:
    middle = ROOT.intermediate("middle", end=OLD)
    put("tls.crt", middle.leaf(), middle.certificate)
    assert notes() == [
        "certificate_chain: certificate 2 expired 2026-01-02 03:04:05 UTC, 3 days ago"
    ]


def test_some_expired_roots_get_one_note() -> None:
    put(
        "ca.crt",
        ROOT.certificate,
        Authority.root("other", end=OLD).certificate,
        Authority.root("third", end=OLD - DAY).certificate,
    )
    assert notes() == [
        "trust_bundles.example.org: 2 of 3 certificates expired, the last "
        "2026-01-02 03:04:05 UTC, 3 days ago"
    ]


def test_expired_roots_of_names_get_a_note() -> None:
    put("legacy.crt", ROOT.certificate, Authority.root("other", end=OLD).certificate)
    identity = evolve(
        IDENTITY, accept=frozenset(NameKind), name_bundle=Path("legacy.crt")
    )
    assert notes(identity) == [
        "name_bundle: 1 of 2 certificates expired, the last 2026-01-02 03:04:05 UTC, "
        "3 days ago"
    ]


def test_a_revocation_list_that_is_out_of_date_gets_a_note() -> None:
    Path("ca.crl").write_bytes(pem(ROOT.crl(NOW + DAY), ROOT.crl(OLD)))
    assert notes(evolve(IDENTITY, crl=Path("ca.crl"))) == [
        "crl: list 2 is out of date: its successor was due 2026-01-02 03:04:05 UTC, "
        "3 days ago"
    ]
