"""What a certificate says, in words that are safe to print wherever it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sidecar.identity.names import attributes_of, escaped
from sidecar.identity.reading import (
    SvidError,
    read_alternative_names,
    read_extensions,
    read_issuer,
    read_subject,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_UNREADABLE: Final = "(not readable)"


def describe(certificate: x509.Certificate) -> dict[str, str]:
    """Return what *certificate* says by the name of the field, in reading order."""
    return {
        "names": ", ".join(_names(certificate)) or "(none)",
        "subject": _distinguished(certificate, read_subject),
        "issuer": _distinguished(certificate, read_issuer),
        "serial": f"{certificate.serial_number:x}",
        "not_before": f"{certificate.not_valid_before_utc:%F %T} UTC",
        "not_after": f"{certificate.not_valid_after_utc:%F %T} UTC",
        "key": _key(certificate),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
    }


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = read_alternative_names(read_extensions(certificate))
    except SvidError:
        return [_UNREADABLE]
    return [_name(name) for name in names]


def _name(name: x509.GeneralName) -> str:
    match name:
        case x509.UniformResourceIdentifier():
            return escaped(name.value)
        case x509.DNSName():
            return f"DNS:{escaped(name.value)}"
        case x509.IPAddress():
            return f"IP:{name.value}"
        case x509.RFC822Name():
            return f"email:{escaped(name.value)}"
        case _:
            return f"another {type(name).__name__}"


def _distinguished(
    certificate: x509.Certificate, read: Callable[[x509.Certificate], x509.Name]
) -> str:
    try:
        attributes = attributes_of(read(certificate))
    except SvidError:
        return _UNREADABLE
    pairs = (f"{key}={escaped(value)}" for key, value in attributes)
    return ",".join(pairs) or "(empty)"


def _key(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return _UNREADABLE
    match key:
        case rsa.RSAPublicKey():
            return f"RSA {key.key_size}"
        case ec.EllipticCurvePublicKey():
            return f"EC {key.curve.name}"
        case _:
            return type(key).__name__.removesuffix("PublicKey")
