"""The authorities that an endpoint is told about once."""

from __future__ import annotations

import datetime as dt
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from sidecar.certs.conformance_folder import ConformanceFolder
from sidecar.certs.files import FileExists
from sidecar.certs.folder import Folder, FolderError
from sidecar.identity.spiffe_id import SpiffeIdError
from tests.certs.worlds import NOW

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def folder(tmp_path: Path) -> ConformanceFolder:
    return ConformanceFolder(tmp_path / "state")


def test_what_was_made_is_there_the_next_time(folder: ConformanceFolder) -> None:
    assert not folder.exists
    made = folder.create("shop.test", now=NOW)
    assert folder.exists
    later = NOW + dt.timedelta(days=3)
    read = folder.load(now=later)
    assert read.bundles == made.bundles
    assert read.revoked_serial == made.revoked_serial
    assert read.now == later


def test_keys_are_for_their_owner_alone(folder: ConformanceFolder) -> None:
    folder.create("shop.test", now=NOW)
    assert mode(folder.path) == 0o700
    keys = list(folder.path.glob("*.key"))
    assert len(keys) == 2
    assert {mode(key) for key in keys} == {0o600}


def test_bundles_are_for_everybody_and_have_no_key(
    folder: ConformanceFolder, tmp_path: Path
) -> None:
    world = folder.create("shop.test", now=NOW)
    place = tmp_path / "trust" / "proxy"
    bundles = folder.write_bundles(world, place)
    own, partner = (bundle.roots for bundle in world.bundles)
    for path, roots in (
        (bundles.own, own),
        (bundles.partner, partner),
        (bundles.both, own + partner),
    ):
        assert tuple(x509.load_pem_x509_certificates(path.read_bytes())) == roots
    (revoked,) = x509.load_pem_x509_crl(bundles.crl.read_bytes())
    assert revoked.serial_number == world.revoked_serial
    for path in place.iterdir():
        assert mode(path) & 0o044 == 0o044
        assert b"PRIVATE" not in path.read_bytes()


def test_the_list_is_good_for_as_long_as_its_authority(
    folder: ConformanceFolder,
) -> None:
    world = folder.create("shop.test", now=NOW)
    crl = x509.load_pem_x509_crl((folder.path / "revoked.crl").read_bytes())
    assert crl.next_update_utc == world.authority.root.not_valid_after_utc


def test_it_is_a_folder_for_certs_issue_as_well(folder: ConformanceFolder) -> None:
    world = folder.create("shop.test", now=NOW)
    assert Folder(folder.path).load_authority() == world.authority


def test_authorities_are_never_replaced(folder: ConformanceFolder) -> None:
    folder.create("shop.test", now=NOW)
    with pytest.raises(FileExists):
        folder.create("shop.test", now=NOW)


def test_a_trust_domain_has_to_be_one(folder: ConformanceFolder) -> None:
    with pytest.raises(SpiffeIdError):
        folder.create("Shop!", now=NOW)
    assert not folder.exists


def test_authorities_that_are_over_are_said(folder: ConformanceFolder) -> None:
    folder.create("shop.test", now=NOW)
    with pytest.raises(FolderError, match="must be good for another day"):
        folder.load(now=NOW + dt.timedelta(days=29, hours=1))


@pytest.mark.parametrize("name", ["partner.key", "revoked.crl"])
def test_what_is_missing_is_said(folder: ConformanceFolder, name: str) -> None:
    folder.create("shop.test", now=NOW)
    (folder.path / name).unlink()
    with pytest.raises(FolderError, match=f"what this command made, got no {name}; "):
        folder.load(now=NOW)


@pytest.mark.parametrize("name", ["ca.crt", "partner.key", "revoked.crl"])
def test_what_is_broken_is_said(folder: ConformanceFolder, name: str) -> None:
    folder.create("shop.test", now=NOW)
    (folder.path / name).write_bytes(b"nonsense")
    with pytest.raises(FolderError, match="must hold what this command made"):
        folder.load(now=NOW)
