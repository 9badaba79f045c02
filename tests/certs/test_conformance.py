"""The table as a whole, against the rules and against `openssl verify`."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.certs.conformance import CASES
from sidecar.identity.svid import (
    SvidError,
    check_signing_certificate,
    leaf_spiffe_id,
)
from sidecar.telemetry.labels import Reason
from tests.certs.worlds import NOW, WORLD, built, by_name, clause_of_the_leaf
from tests.identity.certificates import pem

if TYPE_CHECKING:
    from cryptography import x509

    from sidecar.certs.cases.case import Case

GOOD_LEAVES = [case for case in CASES if case.reason is not Reason.NOT_AN_SVID]


def test_names_are_unique_and_in_kebab_case() -> None:
    names = [case.name for case in CASES]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)


def test_every_case_names_a_clause() -> None:
    clause = r"(X509-SVID|SPIFFE-ID|RFC \d{4}) \d+(\.\d+)*"
    assert [c.name for c in CASES if not re.fullmatch(clause, c.clause)] == []


def test_every_reason_for_which_a_certificate_is_refused_has_a_case() -> None:
    assert {case.reason for case in CASES} == {
        Reason.OK,
        Reason.NOT_AN_SVID,
        Reason.EXPIRED,
        Reason.NOT_YET_VALID,
        Reason.UNKNOWN_TRUST_DOMAIN,
        Reason.UNTRUSTED_CHAIN,
        Reason.REVOKED,
    }


def test_the_published_matrix_has_every_case() -> None:
    page = Path(__file__).parents[2] / "certs" / "conformance.md"
    rows = [line.split(" | ") for line in page.read_text().splitlines()]
    shown = {row[1]: row for row in rows if len(row) > 4 and row[0] != "| clause"}
    for case in CASES:
        if case.with_crl:
            continue
        row = shown[case.sentence]
        assert row[0] == f"| {case.clause}"
        assert row[2] == ("accepted" if case.accepted else "refused")
        assert row[3] == "-"  # a sidecar does what the standard says


def test_good_and_bad_are_both_many() -> None:
    accepted = sum(case.accepted for case in CASES)
    assert accepted >= 30
    assert len(CASES) - accepted >= 90


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_a_leaf_is_no_svid_exactly_where_the_case_says_so(case: Case) -> None:
    refused = clause_of_the_leaf(case) is not None
    assert refused == (case.reason is Reason.NOT_AN_SVID)


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_the_key_is_the_leafs(case: Case) -> None:
    shown = built(case)
    assert shown.leaf.public_key() == shown.private_key.public_key()


@pytest.mark.parametrize("case", GOOD_LEAVES, ids=by_name)
def test_openssl_agrees_about_the_path(case: Case, tmp_path: Path) -> None:
    """A chain is accepted if it leads to its root and all its CAs may sign."""
    shown = built(case)
    domain = leaf_spiffe_id(shown.leaf).trust_domain
    roots = [b.roots for b in WORLD.bundles if b.trust_domain == domain]
    if not roots:
        assert case.reason is Reason.UNKNOWN_TRUST_DOMAIN
        return
    said = openssl_verify(case, pem(*roots[0]), tmp_path)
    may_sign = all(may_sign_for(domain, signer) for signer in shown.chain[1:])
    assert (said == "OK" and may_sign) == case.accepted, said
    if case.reason in EXPECTED:
        assert said == EXPECTED[case.reason]


EXPECTED = {
    Reason.EXPIRED: "certificate has expired",
    Reason.NOT_YET_VALID: "certificate is not yet valid",
    Reason.REVOKED: "certificate revoked",
}


def may_sign_for(trust_domain: str, certificate: x509.Certificate) -> bool:
    try:
        check_signing_certificate(certificate, trust_domain)
    except SvidError:
        return False
    return True


def openssl_verify(case: Case, roots: bytes, place: Path) -> str:
    """Return OpenSSL's word for the first thing wrong with the path, or OK."""
    leaf, *others = built(case).chain
    (place / "leaf").write_bytes(pem(leaf))
    (place / "others").write_bytes(pem(*others))
    (place / "roots").write_bytes(roots)
    command = ["openssl", "verify", "-attime", str(int(NOW.timestamp()))]
    command += ["-no-CAfile", "-no-CApath", "-no-CAstore", "-trusted", "roots"]
    command += ["-untrusted", "others"] if others else []
    if case.with_crl:
        (place / "crl").write_bytes(WORLD.crl().public_bytes(Encoding.PEM))
        command += ["-crl_check", "-CRLfile", "crl"]
    done = subprocess.run(
        [*command, "leaf"], cwd=place, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return "OK"
    found = re.search(r"error \d+ at \d+ depth lookup: (.*)", done.stderr)
    assert found, done.stderr
    return found[1]
