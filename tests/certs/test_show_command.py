"""`sidecar certs show`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sidecar.certs.conformance import CASES
from sidecar.certs.pem import chain_pem, key_pem
from tests.certs.commands import certs
from tests.certs.worlds import built, by_name
from tests.identity import certificates as make

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.certs.cases.case import Case


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    path = tmp_path / "chain.crt"
    path.write_bytes(chain_pem([make.leaf(usage=None), make.signer()]))
    return path


def test_each_certificate_is_explained(
    chain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certs("show", chain) == 0
    printed = capsys.readouterr()
    leaf, signer = printed.out.split("\n\n")
    assert leaf.startswith("certificate 1 of 2: leaf\n")
    assert f"names      {make.SPIFFE_ID}" in leaf
    assert "BROKEN X509-SVID 4.3    there must be a key usage, got none" in leaf
    assert "  time       " in leaf
    assert "ok     X509-SVID 2      there must be exactly one URI SAN\n" in leaf
    assert "verdict    a peer refuses it (not_an_svid)" in leaf
    assert signer.startswith("certificate 2 of 2: signing certificate\n")
    assert printed.err == ""


def test_the_same_in_json(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert certs("show", "--json", chain) == 0
    leaf, signer = json.loads(capsys.readouterr().out)
    assert leaf["names"] == make.SPIFFE_ID
    assert leaf["reason"] == "not_an_svid"
    assert leaf["time"].startswith(("valid in ", "ends in ", "expired "))
    assert next(rule for rule in leaf["rules"] if not rule["kept"]) == {
        "code": "key-usage-present",
        "clause": "X509-SVID 4.3",
        "rule": "there must be a key usage",
        "kept": False,
        "found": "none",
    }
    assert signer["role"] == "signing certificate"


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_every_case_is_shown(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "case.crt"
    path.write_bytes(chain_pem(built(case).chain))
    assert certs("show", path) == 0
    shown = capsys.readouterr().out
    assert shown.count("verdict    ") == len(built(case).chain)
    assert all(line.isprintable() for line in shown.splitlines())
    assert certs("show", "--json", path) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(built(case).chain)


def test_a_key_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ca.key"
    path.write_bytes(key_pem(make.key()))
    assert certs("show", path) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"{path}: expected certificates (PEM, DER or a JWK")


def test_a_file_that_is_not_there_is_wrong_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certs("show", tmp_path / "none") == 2
    assert capsys.readouterr().err == f"{tmp_path}/none: No such file or directory\n"
