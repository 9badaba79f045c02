"""The certificate that the webhook serves, from the files of a Secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self, TypeVar

from attrs import field, frozen

from sidecar.config.files import UnreadableError, read_bounded
from sidecar.config.key_file import check_key_file
from sidecar.config.problems import ConfigError, Problem
from sidecar.identity.private_key import PrivateKey, check_belongs, read_private_key
from sidecar.identity.reading import SvidError, read_pem

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

T = TypeVar("T")

_LARGEST: Final = 1024 * 1024


@frozen
class Files:
    """Where they are.

    Attributes:
        client_ca: The roots of those who may call; None lets anybody.
        readable_key: Whether others than the owner may read the key's file.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    readable_key: bool = False

    @property
    def all(self) -> tuple[Path, ...]:
        """The files that there are."""
        named = (self.certificate, self.key, self.client_ca)
        return tuple(path for path in named if path is not None)


@frozen
class ServedCertificate:
    """A chain, the key of its leaf, and whom clients must be vouched for by."""

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False, eq=False)
    client_roots: tuple[x509.Certificate, ...] = ()

    @property
    def expiry(self) -> datetime:
        """When its leaf ends."""
        return self.chain[0].not_valid_after_utc

    @classmethod
    def load(cls, files: Files, now: datetime) -> Self:
        """Read *files*.

        Raises:
            ConfigError: They are of no use at *now*; it carries every problem, each
                at its option. No other exception escapes, whatever the files.
        """
        problems: list[Problem] = []
        chain = _read("--cert", files.certificate, read_pem, problems)
        key = _read("--key", files.key, read_private_key, problems)
        if not files.readable_key:
            problems += _of_mode(files.key)
        roots: tuple[x509.Certificate, ...] | None = ()
        if files.client_ca is not None:
            roots = _read("--client-ca", files.client_ca, read_pem, problems)
        if chain is not None:
            problems += _of_time(chain[0], files, now)
            try:
                if key is not None:
                    check_belongs(key, chain)
            except SvidError as error:
                problems.append(Problem("--key", str(error), source=str(files.key)))
        if problems or chain is None or key is None or roots is None:
            raise ConfigError(str(files.certificate), tuple(problems))
        return cls(chain, key, roots)


def _read(
    option: str, path: Path, read: Callable[[bytes], T], problems: list[Problem]
) -> T | None:
    try:
        return read(read_bounded(path, _LARGEST))
    except (UnreadableError, SvidError) as error:
        problems.append(Problem(option, str(error), source=str(path)))
        return None


def _of_mode(key: Path) -> list[Problem]:
    try:
        check_key_file(key, "give --allow-readable-key")
    except UnreadableError as error:
        return [Problem("--key", str(error), source=str(key))]
    return []


def _of_time(leaf: x509.Certificate, files: Files, now: datetime) -> list[Problem]:
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if begin <= now <= end:
        return []
    word = f"has been valid until {end}" if now > end else f"is valid from {begin}"
    rule = f"the certificate must be valid, this one {word}"
    return [Problem("--cert", rule, source=str(files.certificate))]
