"""The folder of a development CA: its own pair of files, and those that it signed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from attrs import frozen

from sidecar.certs.authority import Authority, AuthorityError
from sidecar.certs.files import NewFile, make_folder, write_files
from sidecar.certs.pem import chain_pem, key_pem
from sidecar.identity.reading import SvidError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography import x509

    from sidecar.identity.svid import PrivateKey

_AUTHORITY: Final = "ca"
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class FolderError(ValueError):
    """The folder has no usable CA, or no place for a name; the message says where."""


@frozen
class Pair:
    """A certificate chain and its key, as files."""

    certificate: Path
    key: Path

    def write(
        self, chain: Sequence[x509.Certificate], key: PrivateKey, *, replace: bool
    ) -> None:
        """Write both files, the key for its owner alone.

        Raises:
            FileExists: One is there already, and *replace* is false.
            OSError: One cannot be written.
        """
        files = [
            NewFile(self.key, key_pem(key), secret=True),
            NewFile(self.certificate, chain_pem(chain), secret=False),
        ]
        write_files(files, replace=replace)


@frozen
class Folder:
    """Where `sidecar certs` keeps what it makes."""

    path: Path

    @property
    def authority(self) -> Pair:
        """The CA's own files."""
        return self._pair(_AUTHORITY)

    def save_authority(self, authority: Authority, *, replace: bool) -> Pair:
        """Write a CA, and return where.

        Raises:
            FileExists: There is one already, and *replace* is false.
            OSError: It cannot be written.
        """
        make_folder(self.path)
        pair = self.authority
        pair.write(authority.path, authority.private_key, replace=replace)
        return pair

    def load_authority(self) -> Authority:
        """Read the CA.

        Raises:
            FolderError: There is none, or its files are not a CA's.
            OSError: They cannot be read.
        """
        pair = self.authority
        try:
            return Authority.from_pem(
                pair.certificate.read_bytes(), pair.key.read_bytes()
            )
        except FileNotFoundError as error:
            raise FolderError(
                f"{error.filename}: must be there; make it with sidecar certs init "
                f"--dir {self.path}"
            ) from error
        except (AuthorityError, SvidError) as error:
            raise FolderError(f"{self.path}: {error}") from error

    def place(self, name: str) -> Pair:
        """Return where the SVID of that name goes.

        Raises:
            FolderError: It would leave the folder, hide there, or be the CA.
        """
        if name == _AUTHORITY:
            raise FolderError(
                f"--out: must not be the CA's own name, got {name!r}; choose another"
            )
        if not _NAME.fullmatch(name):
            raise FolderError(
                "--out: must be a file name of letters, digits, '.', '_' and '-' that "
                f"does not begin with '.', got {name!r}"
            )
        return self._pair(name)

    def _pair(self, name: str) -> Pair:
        return Pair(self.path / f"{name}.crt", self.path / f"{name}.key")
