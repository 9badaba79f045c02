"""`sidecar certs init`."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from sidecar.certs.folder import Folder
from tests.certs.commands import certs

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_makes_an_authority_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "pki"
    assert certs("init", "--dir", place, "--trust-domain", "shop.test") == 0
    assert Folder(place).load_authority().trust_domain == "shop.test"
    printed = capsys.readouterr()
    assert "trust domain shop.test" in printed.out
    assert f"{place}/ca.crt" in printed.out
    assert f"{place}/ca.key" in printed.out
    assert (
        f"certs issue spiffe://shop.test/ns/shop/sa/cart --dir {place}" in printed.out
    )
    assert printed.err == ""


def test_the_folder_and_the_key_are_for_their_owner_alone(tmp_path: Path) -> None:
    place = tmp_path / "pki"
    certs("init", "--dir", place)
    assert mode(place) == 0o700
    assert mode(place / "ca.key") == 0o600
    assert {path.name for path in place.iterdir()} == {"ca.crt", "ca.key"}


def test_it_lives_as_long_as_it_is_told(tmp_path: Path) -> None:
    certs("init", "--dir", tmp_path, "--lifetime", "2d")
    root = Folder(tmp_path).load_authority().root
    lifetime = root.not_valid_after_utc - root.not_valid_before_utc
    assert lifetime.days == 2


@pytest.mark.parametrize("name", ["ca.crt", "ca.key"])
def test_it_replaces_nothing_unasked(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("precious")
    assert certs("init", "--dir", tmp_path) == 2
    assert (tmp_path / name).read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    error = capsys.readouterr().err
    assert f"{tmp_path / name}: must not exist yet; --force replaces it" in error
    assert "what the old CA signed" in error


def test_it_replaces_with_force(tmp_path: Path) -> None:
    certs("init", "--dir", tmp_path)
    first = Folder(tmp_path).load_authority()
    assert certs("init", "--dir", tmp_path, "--force") == 0
    assert Folder(tmp_path).load_authority() != first


def test_a_wrong_trust_domain_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "pki"
    assert certs("init", "--dir", place, "--trust-domain", "Shop") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "--trust-domain: trust domain must be of a-z, 0-9, '.', '-' and '_', "
        "got 'Shop'\n"
    )
    assert not place.exists()


def test_a_folder_that_cannot_be_made_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert certs("init", "--dir", tmp_path / "file" / "pki") == 1
    assert "cannot be written: Not a directory" in capsys.readouterr().err
