"""Ensures that a certificate is judged as in a handshake, without any key of ours."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.cli import main
from sidecar.commands.policy_certificate import with_certificate
from sidecar.commands.policy_source import read_rulebook
from sidecar.config.problems import ConfigError
from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policytools.entry import Call
from sidecar.policytools.question import QuestionError
from sidecar.telemetry.labels import Reason
from tests.config import authorities
from tests.policytools import books
from tests.policytools.books import FRONTEND
from tests.support.pki import new_authority, write_bundle, write_svid

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.config.model import Config

CALL = Call(None, 8080)
FRIEND = new_authority()
STRANGER = new_authority()


@pytest.fixture(name="config")
def written(tmp_path: Path) -> Config:
    settings: dict[str, Any] = yaml.safe_load(books.CONFIG)
    bundle = write_bundle(tmp_path, FRIEND)
    settings["identity"]["trust_bundles"] = {"example.org": str(bundle)}
    (tmp_path / "policy.yaml").write_text(books.POLICY)
    (tmp_path / "sidecar.yaml").write_text(yaml.safe_dump(settings))
    found = read_rulebook(tmp_path / "sidecar.yaml", None).config
    assert found is not None
    return found


def test_a_good_certificate_is_its_peer(tmp_path: Path, config: Config) -> None:
    pair = write_svid(tmp_path, FRIEND, FRONTEND)
    call = with_certificate(CALL, pair.certificate_chain, config)
    assert call == Call(SpiffeId.parse(FRONTEND), 8080, verified=True)
    der = tmp_path / "frontend.der"
    leaf = x509.load_pem_x509_certificate(pair.certificate_chain.read_bytes())
    der.write_bytes(leaf.public_bytes(Encoding.DER))
    assert with_certificate(CALL, der, config) == call


@pytest.mark.parametrize(
    ("authority", "lifetime", "reason"),
    [
        (STRANGER, dt.timedelta(hours=1), Reason.UNTRUSTED_CHAIN),
        (FRIEND, dt.timedelta(hours=-1), Reason.EXPIRED),
        (FRIEND, dt.timedelta(seconds=-1), Reason.CLOCK_SKEW),
    ],
)
def test_a_bad_one_is_refused_for_the_reason_of_the_handshake(
    authority: Any,
    lifetime: dt.timedelta,
    reason: Reason,
    tmp_path: Path,
    config: Config,
) -> None:
    pair = write_svid(tmp_path, authority, FRONTEND, lifetime=lifetime)
    call = with_certificate(CALL, pair.certificate_chain, config)
    assert call.refused is not None
    assert (call.refused.reason, call.verified) == (reason, False)
    assert call.peer == SpiffeId.parse(FRONTEND)


def test_one_that_is_no_svid_has_no_name(tmp_path: Path, config: Config) -> None:
    root = write_bundle(tmp_path, FRIEND, name="root")
    for known in (config, None):
        call = with_certificate(CALL, root, known)
        assert call.refused is not None
        assert (call.peer, call.refused.reason) == (None, Reason.NOT_AN_SVID)


def test_without_bundles_only_the_name_is_judged(tmp_path: Path) -> None:
    pair = write_svid(tmp_path, STRANGER, FRONTEND)
    call = with_certificate(CALL, pair.certificate_chain, None)
    assert (call.peer, call.refused) == (SpiffeId.parse(FRONTEND), None)
    assert call.notes == (
        "of the certificate only the name is judged: no bundles are known",
    )


def test_a_certificate_without_a_spiffe_id_is_its_names(tmp_path: Path) -> None:
    path = tmp_path / "device.crt"
    leaf = authorities.Authority.root().leaf("https://a.test/", name="device")
    path.write_bytes(authorities.pem(leaf))
    subject = (("O", "device"),)
    assert with_certificate(CALL, path, None).peer == CertificateNames(
        frozenset(), subject
    )


def test_a_file_without_a_certificate_is_a_problem(tmp_path: Path) -> None:
    key = write_svid(tmp_path, FRIEND, FRONTEND).private_key
    with pytest.raises(QuestionError, match="must be PEM with at least one certif"):
        with_certificate(CALL, key, None)


def test_a_bundle_that_cannot_be_read_is_a_problem(
    tmp_path: Path, config: Config
) -> None:
    pair = write_svid(tmp_path, FRIEND, FRONTEND)
    (tmp_path / "example.org.bundle.crt").unlink()
    with pytest.raises(ConfigError, match=r"trust_bundles.*: no such file"):
        with_certificate(CALL, pair.certificate_chain, config)


@pytest.mark.usefixtures("config")
def test_the_command_asks_the_verifier(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("policy", "explain", str(tmp_path / "sidecar.yaml"), "--port", "8080")
    good = write_svid(tmp_path, FRIEND, FRONTEND, name="good").certificate_chain
    bad = write_svid(tmp_path, STRANGER, FRONTEND, name="bad").certificate_chain
    assert main([*words, "--certificate", str(good)]) == 0
    capsys.readouterr()
    assert main([*words, "--certificate", str(bad)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("denied in the handshake (untrusted_chain): ")
    assert "it would say: allowed by rule 'frontend-calls-api'" in out
