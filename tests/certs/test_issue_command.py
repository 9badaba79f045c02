"""`sidecar certs issue`."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from sidecar.certs.folder import Folder
from sidecar.identity.svid import Svid
from tests.certs.commands import certs

if TYPE_CHECKING:
    from pathlib import Path

CART = "spiffe://example.org/ns/shop/sa/cart"


@pytest.fixture
def pki(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert certs("init", "--dir", tmp_path) == 0
    capsys.readouterr()
    return tmp_path


def read(pki: Path, name: str) -> Svid:
    return Svid.from_pem(
        (pki / f"{name}.crt").read_bytes(),
        (pki / f"{name}.key").read_bytes(),
        accept_names=False,
    )


def test_it_makes_an_svid_and_says_where(
    pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certs("issue", CART, "--dir", pki) == 0
    svid = read(pki, "cart")
    assert str(svid.name) == CART
    svid.leaf.verify_directly_issued_by(Folder(pki).load_authority().root)
    assert stat.S_IMODE((pki / "cart.key").stat().st_mode) == 0o600
    printed = capsys.readouterr()
    assert printed.err == ""
    assert f"certificate_chain: {pki / 'cart.crt'}" in printed.out
    assert f"private_key: {pki / 'cart.key'}" in printed.out
    assert f"example.org: {pki / 'ca.crt'}" in printed.out


def test_the_file_has_the_name_that_it_is_given(pki: Path) -> None:
    assert certs("issue", CART, "--dir", pki, "--out", "other") == 0
    assert str(read(pki, "other").name) == CART
    assert not (pki / "cart.crt").exists()


def test_it_has_dns_names_and_a_lifetime(pki: Path) -> None:
    dns = ["--dns", "cart.shop.svc", "--dns", "localhost"]
    assert certs("issue", CART, "--dir", pki, *dns, "--lifetime", "5m") == 0
    leaf = read(pki, "cart").leaf
    sans = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sans.get_values_for_type(x509.DNSName) == ["cart.shop.svc", "localhost"]
    lifetime = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert lifetime.total_seconds() == 7 * 60


def test_it_replaces_nothing_unasked(
    pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certs("issue", CART, "--dir", pki)
    first = read(pki, "cart")
    assert certs("issue", CART, "--dir", pki) == 2
    assert read(pki, "cart") == first
    assert "cart.key: must not exist yet; --force" in capsys.readouterr().err
    assert certs("issue", CART, "--dir", pki, "--force") == 0
    assert read(pki, "cart") != first


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nonsense"], "SPIFFE-ID: must start with 'spiffe://', got 'nonsense'"),
        (["spiffe://example.org"], "SPIFFE-ID: must have a path"),
        (["spiffe://other.test/a"], "SPIFFE ID: must be of the trust domain"),
        ([CART, "--lifetime", "31d"], "lifetime: must end before the CA does"),
        ([CART, "--dns", "zürich"], "DNS name: must be of ASCII"),
        ([CART, "--dns", "cart..svc"], "DNS name: must be labels of letters"),
        ([CART, "--dns", "https://cart"], "DNS name: must be labels of letters"),
        ([CART, "--out", "../cart"], "--out: must be a file name"),
        (["spiffe://example.org/ca"], "--out: must not be the CA's own name"),
    ],
)
def test_wrong_input_is_explained_and_makes_nothing(
    arguments: list[str], error: str, pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certs("issue", *arguments, "--dir", pki) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(error)
    assert {path.name for path in pki.iterdir()} == {"ca.crt", "ca.key"}


def test_without_an_authority_it_says_how_to_make_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certs("issue", CART, "--dir", tmp_path) == 2
    assert capsys.readouterr().err == (
        f"{tmp_path}/ca.crt: must be there; make it with sidecar certs init "
        f"--dir {tmp_path}\n"
    )


def test_what_cannot_be_read_is_a_failure(
    pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pki / "ca.key").unlink()
    (pki / "ca.key").mkdir()
    assert certs("issue", CART, "--dir", pki) == 1
    assert capsys.readouterr().err == f"{pki}/ca.key: Is a directory\n"
