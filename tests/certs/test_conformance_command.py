"""`sidecar certs conformance`, as far as it goes without an endpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sidecar.certs.conformance import CASES
from tests.certs.commands import certs


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_a_target_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certs("conformance", "--bundles", tmp_path / "trust") == 0
    printed = capsys.readouterr().out
    assert "-----BEGIN CERTIFICATE-----" in printed
    assert "PRIVATE" not in printed
    assert "sidecar certs issue spiffe://example.org/endpoint" in printed
    for name in ("example.org.crt", "partner.test.crt", "both.crt", "revoked.crl"):
        assert f"{tmp_path}/trust/{name}" in printed
        assert (tmp_path / "trust" / name).is_file()


def test_a_second_time_the_authorities_are_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    certs("conformance")
    first = capsys.readouterr().out
    assert certs("conformance", "--trust-domain", "example.org") == 0
    assert capsys.readouterr().out == first


def test_a_target_before_the_bundles_are_installed_is_not_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not on a terminal, where it would wait for Enter."""
    assert certs("conformance", "--target", "127.0.0.1:1") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "nothing was shown to 127.0.0.1:1 yet" in printed.err
    assert "bundles/example.org.crt" in printed.err


def test_a_listing_makes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert certs("conformance", "--list") == 0
    assert len(capsys.readouterr().out.splitlines()) == len(CASES)
    assert certs("conformance", "--list", "--json", "--only", "revoked") == 0
    (value,) = json.loads(capsys.readouterr().out)
    assert value["crl"] is True
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--only", "nonsense"), "--only: must name a case"),
        (("--only", "revoked"), "--only: revoked needs --crl"),
        (("--only", "minimal", "--crl"), "--only: minimal does not need --crl"),
        (("--target", "8443"), "--target: "),
        (("--target", "a:0"), "--target: port must be 1 to 65535"),
        (("--target", "a:1", "--server-name", "a..b"), "--server-name: must be"),
        (("--trust-domain", "Shop!"), "--trust-domain: "),
    ],
)
def test_wrong_input_is_said_and_nothing_is_made(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certs("conformance", *arguments) == 2
    assert capsys.readouterr().err.startswith(said)
    assert list(Path().iterdir()) == []


def test_a_folder_of_another_trust_domain_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    certs("conformance", "--trust-domain", "shop.test")
    assert certs("conformance", "--trust-domain", "other.test") == 2
    assert "has authorities of 'shop.test'" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("file").touch()
    assert certs("conformance", "--state", "file/below") == 2
    assert capsys.readouterr().err == "file/below: must be a folder, got a file\n"
    assert certs("conformance", "--state", "/proc/below") == 1
    assert capsys.readouterr().err == "/proc/below: no such file or directory\n"


@pytest.mark.parametrize("option", ["--state", "--bundles"])
def test_a_file_is_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    path = tmp_path / "file"
    path.touch()
    assert certs("conformance", "--state", tmp_path / "state", option, path) == 2
    assert capsys.readouterr().err == f"{path}: must be a folder, got a file\n"


def test_a_name_without_an_address_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    certs("conformance")
    assert certs("conformance", "--target", "nobody.invalid:1") == 1
    assert "nobody.invalid:1: the name has no address" in capsys.readouterr().err
