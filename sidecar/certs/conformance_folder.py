"""The folder of `sidecar certs conformance`: authorities that outlive one run.

An endpoint is given their bundles once and can then be asked as often as one likes.
The keys stay in a folder that only its owner can enter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.certs.authority import Authority, AuthorityError
from sidecar.certs.cases.world import DAY, PARTNER, World
from sidecar.certs.files import NewFile, make_folder, write_files
from sidecar.certs.folder import Folder, FolderError, Pair
from sidecar.certs.pem import chain_pem
from sidecar.identity.reading import SvidError

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

_LIFETIME: Final = 30 * DAY
_CRL: Final = "revoked.crl"


@frozen
class Bundles:
    """Where the files are that the endpoint under test needs. None is secret."""

    own: Path
    partner: Path
    both: Path
    crl: Path


@frozen
class ConformanceFolder:
    """Where the authorities are kept that sign what an endpoint is shown."""

    path: Path

    @property
    def exists(self) -> bool:
        """Whether there are authorities in it."""
        return self._own.certificate.exists()

    def create(self, trust_domain: str, *, now: dt.datetime) -> World:
        """Make the authorities and keep them.

        Raises:
            SpiffeIdError: That is no name of a trust domain.
            FileExists: One is there already.
            OSError: One cannot be written.
        """
        authority = Authority.create(trust_domain, now=now, lifetime=_LIFETIME)
        world = World.around(authority, now=now)
        make_folder(self.path)
        # The CA's own files come last: they say that all the others are there.
        crl = authority.crl([world.revoked_serial], now=now, lifetime=_LIFETIME)
        write_files([NewFile(self._crl, _pem(crl), secret=False)], replace=True)
        for pair, each in ((self._partner, world.partner), (self._own, authority)):
            pair.write(each.path, each.private_key, replace=pair is self._partner)
        return world

    def load(self, *, now: dt.datetime) -> World:
        """Read the authorities.

        Raises:
            FolderError: The files are not those of authorities, or their time is over.
            OSError: They cannot be read.
        """
        try:
            own, partner = _read(self._own), _read(self._partner)
            (revoked,) = x509.load_pem_x509_crl(self._crl.read_bytes())
        except FileNotFoundError as error:
            name = str(error.filename).removeprefix(f"{self.path}/")
            raise FolderError(
                f"{self.path}: must hold what this command made, got no {name}; "
                "name another folder"
            ) from error
        except (AuthorityError, SvidError, ValueError) as error:
            raise FolderError(
                f"{self.path}: must hold what this command made, got: {error}; "
                "name another folder"
            ) from error
        ends = min(own.root.not_valid_after_utc, partner.root.not_valid_after_utc)
        if ends < now + DAY:
            raise FolderError(
                f"{self.path}: its authorities must be good for another day, they end "
                f"{ends:%F %R} UTC; remove the folder, and begin with new bundles"
            )
        world = World.around(own, now=now)
        return evolve(world, partner=partner, revoked_serial=revoked.serial_number)

    def write_bundles(self, world: World, place: Path | None) -> Bundles:
        """Write what the endpoint has to trust to *place*, for everybody to read.

        Raises:
            OSError: A file cannot be written.
        """
        folder = place or self.path / "bundles"
        folder.mkdir(0o755, parents=True, exist_ok=True)
        own, partner = (chain_pem(each.roots) for each in world.bundles)
        bundles = Bundles(
            own=folder / f"{world.trust_domain}.crt",
            partner=folder / f"{PARTNER}.crt",
            both=folder / "both.crt",
            crl=folder / _CRL,
        )
        contents = {
            bundles.own: own,
            bundles.partner: partner,
            bundles.both: own + partner,
            bundles.crl: self._crl.read_bytes(),
        }
        files = [NewFile(path, data, secret=False) for path, data in contents.items()]
        write_files(files, replace=True)
        return bundles

    @property
    def _own(self) -> Pair:
        return Folder(self.path).authority

    @property
    def _partner(self) -> Pair:
        return Folder(self.path).place("partner")

    @property
    def _crl(self) -> Path:
        return self.path / _CRL


def _read(pair: Pair) -> Authority:
    return Authority.from_pem(pair.certificate.read_bytes(), pair.key.read_bytes())


def _pem(crl: x509.CertificateRevocationList) -> bytes:
    return crl.public_bytes(Encoding.PEM)
