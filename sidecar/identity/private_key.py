"""The private key of our own certificate. Nothing here ever shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_pem_private_key,
)

from sidecar.identity.reading import SvidError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509

PrivateKey: TypeAlias = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
"""The keys that can sign a TLS handshake."""

_KINDS: Final = (
    rsa.RSAPrivateKey,
    ec.EllipticCurvePrivateKey,
    ed25519.Ed25519PrivateKey,
    ed448.Ed448PrivateKey,
)


def read_private_key(pem: bytes) -> PrivateKey:
    """Read an unencrypted key in any of the usual PEM forms.

    Raises:
        SvidError: It cannot be read, or is of a kind that TLS has no use for; the
            code begins with ``private-key``.
    """
    try:
        key = load_pem_private_key(pem, None)
    except TypeError as error:
        raise SvidError(
            "private-key-readable",
            "RFC 7468 11",
            "the private key must not be encrypted, got one that needs a password; "
            "decrypt it with openssl pkey",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        # The library's message may quote the key: it stays out of ours.
        raise SvidError(
            "private-key-readable",
            "RFC 7468 10",
            "must be a private key in PEM, got something else",
        ) from error
    return _usable(key)


def read_private_key_der(der: bytes) -> PrivateKey:
    """Read an unencrypted key in PKCS #8, as a Workload API sends it.

    Raises:
        SvidError: As for `read_private_key`.
    """
    try:
        key = load_der_private_key(der, None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise SvidError(
            "private-key-readable",
            "Workload API 5.2.1",
            "must be an unencrypted private key in PKCS #8, got something else",
        ) from error
    return _usable(key)


def _usable(key: object) -> PrivateKey:
    if not isinstance(key, _KINDS):
        raise SvidError(
            "private-key-kind",
            "RFC 8446 4.2.3",
            "the private key must be RSA, EC, Ed25519 or Ed448, "
            f"got {type(key).__name__}",
        )
    return key


def check_belongs(key: PrivateKey, chain: Sequence[x509.Certificate]) -> None:
    """Return if *key* is that of the chain's first certificate.

    Raises:
        SvidError: It is another's, which is named, or nobody's.
    """
    public = key.public_key()
    owners = [n for n, owned in enumerate(chain, 1) if _public_key(owned) == public]
    if 1 in owners:
        return
    got = (
        f"the key of certificate {owners[0]}: put the leaf first"
        if owners
        else "the key of none of them"
    )
    raise SvidError(
        "private-key-belongs",
        "SPIFFE-ID 3.2",
        f"the private key must belong to the first certificate, got {got}",
    )


def _public_key(certificate: x509.Certificate) -> object:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None  # a key of an unknown kind is certainly not ours
