"""Where the CA and what it signed are kept."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from sidecar.certs.authority import Authority
from sidecar.certs.files import FileExists
from sidecar.certs.folder import Folder, FolderError
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.identity.svid import Svid
from tests.identity.certificates import key_pem, pem, signer

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
AUTHORITY = Authority.create("example.org", now=NOW)


def test_an_authority_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new")
    pair = folder.save_authority(AUTHORITY, replace=False)
    assert pair == folder.authority
    assert (pair.certificate.name, pair.key.name) == ("ca.crt", "ca.key")
    assert folder.load_authority() == AUTHORITY


def test_an_authority_is_replaced_only_when_asked(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.save_authority(AUTHORITY, replace=False)
    other = Authority.create("example.org", now=NOW)
    with pytest.raises(FileExists):
        folder.save_authority(other, replace=False)
    assert folder.load_authority() == AUTHORITY
    folder.save_authority(other, replace=True)
    assert folder.load_authority() == other


def test_a_pair_is_an_svid(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    svid = AUTHORITY.intermediate(now=NOW).issue(SpiffeId("example.org", "/a"), now=NOW)
    pair = folder.place("a")
    pair.write(svid.chain, svid.private_key, replace=False)
    chain, key = pair.certificate.read_bytes(), pair.key.read_bytes()
    assert Svid.from_pem(chain, key, accept_names=False) == svid


def test_no_authority_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"ca\.crt: must be there; make it with"):
        Folder(tmp_path).load_authority()


def test_files_that_are_no_authority_are_an_error(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.authority.certificate.write_bytes(pem(signer()))
    folder.authority.key.write_bytes(key_pem(AUTHORITY.private_key))
    with pytest.raises(FolderError, match="must belong to the first certificate"):
        folder.load_authority()


@pytest.mark.parametrize("name", ["cart", "a.b", "A-1_2", "_", "a" * 100])
def test_a_name_has_a_place_in_the_folder(name: str, tmp_path: Path) -> None:
    pair = Folder(tmp_path).place(name)
    assert pair.certificate == tmp_path / f"{name}.crt"
    assert pair.key == tmp_path / f"{name}.key"


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "...", ".a", "a/b", "../a", "/a", "a b", "a\n", "ä", "a" * 101],
)
def test_no_name_leaves_the_folder_or_hides_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="--out: must be a file name"):
        Folder(tmp_path).place(name)


def test_the_name_of_the_authority_is_taken(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="CA's own name"):
        Folder(tmp_path).place("ca")
