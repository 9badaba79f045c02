from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from sidecar.config.problems import ConfigError
from sidecar.webhook.certificate import Files, ServedCertificate
from tests.support.pki import new_authority, write_bundle, write_svid

if TYPE_CHECKING:
    from pathlib import Path


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    authority = new_authority()
    pair = write_svid(tmp_path, authority, "/webhook", name="tls")
    roots = write_bundle(tmp_path, authority)
    return Files(pair.certificate_chain, pair.private_key, roots)


def problems(files: Files, at: dt.datetime | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        ServedCertificate.load(files, at or now())
    return [each.located for each in caught.value.problems]


def test_the_files_of_a_secret_are_read(files: Files) -> None:
    served = ServedCertificate.load(files, now())
    assert served == ServedCertificate.load(files, now())
    assert served.expiry > now()
    assert len(served.client_roots) == 1
    assert "PrivateKey" not in repr(served)
    assert files.all == (files.certificate, files.key, files.client_ca)


def test_who_may_call_need_not_be_said(files: Files) -> None:
    anybody = Files(files.certificate, files.key)
    assert ServedCertificate.load(anybody, now()).client_roots == ()
    assert anybody.all == (files.certificate, files.key)


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    missing = Files(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert problems(missing) == [
        f"{tmp_path}/a: --cert: no such file",
        f"{tmp_path}/b: --key: no such file",
        f"{tmp_path}/c: --client-ca: no such file",
    ]


def test_a_key_of_another_certificate_is_refused(files: Files, tmp_path: Path) -> None:
    other = write_svid(tmp_path, new_authority(), "/other")
    (problem,) = problems(Files(files.certificate, other.private_key))
    assert problem.startswith(f"{other.private_key}: --key: ")
    assert "must belong to the first certificate" in problem


def test_a_key_that_others_can_read_is_refused_unless_that_is_allowed(
    files: Files,
) -> None:
    files.key.chmod(0o604)
    (problem,) = problems(files)
    assert problem == (
        f"{files.key}: --key: a private key must be for its owner alone, and everybody"
        " has access, got mode 0604 (chmod 600, or give --allow-readable-key)"
    )
    served = ServedCertificate.load(evolve(files, readable_key=True), now())
    assert len(served.chain) == 1


@pytest.mark.parametrize(
    ("days", "word"), [(9, "has been valid until"), (-9, "is valid from")]
)
def test_a_certificate_is_of_use_in_its_time_only(
    files: Files, days: int, word: str
) -> None:
    (problem,) = problems(files, now() + dt.timedelta(days=days))
    assert f"--cert: the certificate must be valid, this one {word} 20" in problem
