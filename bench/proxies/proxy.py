"""What every proxy is told alike, and what an adapter answers.

TLS 1.3, keys on P-256, X25519, one worker, and both sides verify the other. All else
is left as the proxy's authors chose it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from attrs import frozen

if TYPE_CHECKING:
    from bench.certificates import Certificates

GROUP: Final = "X25519"
"""The key exchange that all proxies have; the newest hybrid ones, some lack."""

PATIENCE: Final = "1h"
"""How long a proxy lets a connection be idle: longer than any work here."""

Command = Sequence[str | Path]


@frozen
class Setting:
    """What may differ from work to work."""

    resumption: bool = True
    connections: int = 1024
    """How many the pair has to carry at once."""


@frozen
class Site:
    """Where one pair stands."""

    folder: Path
    certificates: Certificates
    setting: Setting
    entry: int
    """The port of the client's side."""
    crossing: int
    """The port of the server's side."""
    dialled: int
    """Where the client's side dials: the crossing, or who watches it."""
    application: int

    def write(self, name: str, text: str) -> Path:
        """Write a configuration file, and return its path."""
        path = self.folder / name
        path.write_text(text)
        return path


class Proxy(ABC):
    """One proxy: how it is configured and started on either side."""

    name: ClassVar[str]
    checks: ClassVar[str]
    """What it checks of its peer's name, beyond the chain."""
    settle_seconds: ClassVar[float] = 0.0
    """How old its files have to be when it starts."""

    @abstractmethod
    def version(self) -> str:
        """Return its version.

        Raises:
            Unmeasured: It is not installed.
        """

    @abstractmethod
    def client(self, site: Site) -> Command:
        """Configure the side that takes plaintext and originates mTLS."""

    @abstractmethod
    def server(self, site: Site) -> Command:
        """Configure the side that terminates mTLS and calls the application."""
