"""The files that a configuration names, and whether they are still what they were."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from sidecar.config.files import UnreadableError, read_bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from sidecar.config.model import Config

_LARGEST: Final = 64 * 1024 * 1024


def named_files(path: Path, config: Config) -> Iterator[Path]:
    """List what *config* was made of, and the file *path* that says so."""
    identity = config.identity
    named = (
        path,
        config.policy,
        identity.certificate_chain,
        identity.private_key,
        identity.name_bundle,
        identity.crl,
        *identity.trust_bundles.values(),
        *(each.certificate_chain for each in identity.additional.values()),
        *(each.private_key for each in identity.additional.values()),
    )
    yield from (each for each in named if each is not None)


def look(files: Iterable[Path]) -> list[tuple[int, ...]]:
    """Tell files apart by what stat(2) says of where their names lead now."""
    found: list[tuple[int, ...]] = []
    for path in sorted(set(files)):
        try:
            stat = path.stat()
        except OSError as error:
            found.append((error.errno or 0,))
        else:
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return found


def touched_since(files: Iterable[Path], moment: datetime) -> bool:
    """Tell whether a file has become another one since *moment*, or is gone."""
    try:
        newest = max(path.stat().st_ctime for path in files)
    except OSError:
        return True
    return newest >= moment.timestamp()


def contents(files: Iterable[Path]) -> bytes:
    """Digest the files, those that cannot be read with the reason."""
    digest = sha256()
    for path in sorted(set(files)):
        try:
            data = read_bounded(path, _LARGEST)
        except UnreadableError as error:
            data = str(error).encode()
        digest.update(str(path).encode() + b"\0" + sha256(data).digest())
    return digest.digest()
