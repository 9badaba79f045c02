"""A throw-away PKI in files: one authority, and a workload on each side.

The names are both a SPIFFE ID and a DNS name, for proxies that know only the latter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import frozen
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from sidecar.certs.authority import DAY, Authority
from sidecar.identity.spiffe_id import SpiffeId

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

TRUST_DOMAIN: Final = "example.org"


@frozen
class Workload:
    """The files of one side, and the names that its peer has to check."""

    spiffe_id: str
    dns: str
    chain: Path
    key: Path
    both: Path
    """Chain and key in one file."""


@frozen
class Certificates:
    """The files of both sides, and the root that they trust."""

    client: Workload
    server: Workload
    bundle: Path


def make(folder: Path, now: datetime) -> Certificates:
    """Make a folder with an authority and a workload for each side, all on P-256."""
    folder.mkdir()
    authority = Authority.create(TRUST_DOMAIN, now=now)
    bundle = folder / "ca.crt"
    bundle.write_bytes(authority.root.public_bytes(Encoding.PEM))
    client, server = (
        _issue(folder, authority, name, now) for name in ("client", "server")
    )
    return Certificates(client, server, bundle)


def _issue(folder: Path, authority: Authority, name: str, now: datetime) -> Workload:
    spiffe_id = SpiffeId.parse(f"spiffe://{TRUST_DOMAIN}/ns/bench/sa/{name}")
    svid = authority.issue(spiffe_id, now=now, lifetime=DAY, dns=[name])
    chain = b"".join(each.public_bytes(Encoding.PEM) for each in svid.chain)
    key = svid.private_key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    workload = Workload(
        str(spiffe_id),
        name,
        *(folder / f"{name}.{suffix}" for suffix in ("crt", "key", "pem")),
    )
    for path, content in (
        (workload.chain, chain),
        (workload.key, key),
        (workload.both, chain + key),
    ):
        path.touch(mode=0o600)
        path.write_bytes(content)
    return workload
