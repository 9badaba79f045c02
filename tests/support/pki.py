"""Keys and certificates as files, for tests with real processes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates

from sidecar.certs.authority import HOUR, Authority
from sidecar.identity.spiffe_id import SpiffeId

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


class Pair(NamedTuple):
    """Two files: a certificate chain, leaf first, and the key of the leaf."""

    certificate_chain: Path
    private_key: Path


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def new_authority(trust_domain: str = "example.org") -> Authority:
    return Authority.create(trust_domain, now=now())


def write_svid(
    folder: Path,
    authority: Authority,
    spiffe_id: str,
    *,
    lifetime: dt.timedelta = HOUR,
    dns: Iterable[str] = (),
    name: str | None = None,
) -> Pair:
    """Issue an SVID and write it to `NAME.crt` and `NAME.key`.

    Args:
        folder: where to; an older pair of that name is replaced, as in a rotation.
        authority: whose trust domain the SPIFFE ID belongs to.
        spiffe_id: a path such as "/ns/shop/sa/api" is of the authority's domain.
        lifetime: from now; negative for one that has expired.
        dns: names for peers that look for a host name.
        name: the last segment of the SPIFFE ID, unless given.
    """
    if spiffe_id.startswith("/"):
        spiffe_id = f"spiffe://{authority.trust_domain}{spiffe_id}"
    peer = SpiffeId.parse(spiffe_id)
    # One that has expired was good for an hour before.
    begin = now() + min(lifetime - HOUR, dt.timedelta(0))
    svid = authority.issue(peer, now=begin, lifetime=now() + lifetime - begin, dns=dns)
    return write_chain(folder, name or peer.segments[-1], svid.chain, svid.private_key)


def write_chain(
    folder: Path,
    name: str,
    chain: Sequence[x509.Certificate],
    private_key: PrivateKeyTypes,
) -> Pair:
    """Write any chain and any key, whether they are good or belong together or not."""
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    _replace(pair.certificate_chain, pem(chain))
    _replace(
        pair.private_key,
        private_key.private_bytes(
            Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    return pair


def write_bundle(
    folder: Path, *authorities: Authority, name: str | None = None
) -> Path:
    """Write the roots of one trust domain to `TRUST-DOMAIN.bundle.crt`."""
    path = folder / f"{name or authorities[0].trust_domain}.bundle.crt"
    _replace(path, pem([authority.root for authority in authorities]))
    return path


def write_crl(folder: Path, authority: Authority, *revoked: Path) -> Path:
    """Write a list that revokes the leaves of these chains."""
    serials = [_leaf(chain).serial_number for chain in revoked]
    path = folder / f"{authority.trust_domain}.crl"
    _replace(path, authority.crl(serials, now=now()).public_bytes(Encoding.PEM))
    return path


def identity(
    folder: Path, spiffe_id: str, authority: Authority, *partners: Authority
) -> dict[str, Any]:
    """Write what a workload needs; give the section `identity` of its configuration.

    It trusts its own authority and those of its partners, each for its own domain.
    """
    pair = write_svid(folder, authority, spiffe_id)
    trusted = (authority, *partners)
    return {
        "certificate_chain": str(pair.certificate_chain),
        "private_key": str(pair.private_key),
        "trust_bundles": {
            each.trust_domain: str(write_bundle(folder, each)) for each in trusted
        },
    }


def pem(chain: Iterable[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def _leaf(chain: Path) -> x509.Certificate:
    return load_pem_x509_certificates(chain.read_bytes())[0]


def _replace(path: Path, content: bytes) -> None:
    # By renaming: a sidecar that watches the file never sees half of it.
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    fresh.chmod(0o600)
    fresh.replace(path)
