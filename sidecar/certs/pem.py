"""Certificates and keys as PEM text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography import x509

    from sidecar.identity.svid import PrivateKey


def chain_pem(certificates: Iterable[x509.Certificate]) -> bytes:
    """Return certificates one after another: a chain leaf first, or a bundle."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def key_pem(key: PrivateKey) -> bytes:
    """Return a key as PKCS #8, not encrypted: whoever reads it has it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
