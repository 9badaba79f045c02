"""What a file is that has no certificate to show, as far as that can be told. No I/O.

People have their certificates in PKCS #12, or name the key by mistake; they are told
what they have, and how to make of it what can be read. Nothing of it is repeated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
    pkcs7,
)

from sidecar.config.wording import shown

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK: Final = re.compile(rb"-----BEGIN ([^-\r\n]{1,64})-----")
_PKCS7: Final = "PKCS #7 ('openssl pkcs7 -print_certs' makes PEM of it)"
_KEY: Final = "a private key"
_LABELS: Final = {
    "CERTIFICATE": "one that cannot be parsed",
    "X509 CERTIFICATE": "one that cannot be parsed",
    "TRUSTED CERTIFICATE": "one in OpenSSL's own form ('openssl x509' makes PEM of it)",
    "CERTIFICATE REQUEST": "a request for one",
    "NEW CERTIFICATE REQUEST": "a request for one",
    "X509 CRL": "a revocation list",
    "PKCS7": _PKCS7,
    "CMS": _PKCS7,
}

# A PFX begins with its version, 3, and the type of what is in it (RFC 7292, 4).
_PFX: Final = re.compile(
    rb"\x30.{1,5}\x02\x01\x03\x30.{1,5}\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07",
    re.DOTALL,
)
_BASE64: Final = re.compile(rb"\s*MII[A-Za-z0-9+/=\s]+")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


def _private_key(data: bytes) -> object:
    try:
        return load_der_private_key(data, None)
    except TypeError:  # it is encrypted
        return None


_DER: Final[tuple[tuple[Callable[[bytes], Any], str], ...]] = (
    (x509.load_der_x509_csr, "a request for one"),
    (x509.load_der_x509_crl, "a revocation list"),
    (_private_key, _KEY),
    (load_der_public_key, "a public key"),
    (pkcs7.load_der_pkcs7_certificates, _PKCS7),
)


def instead(data: bytes) -> str:
    """Say what *data* is, which has no certificate that can be read.

    No exception escapes, whatever the bytes.
    """
    if not data.strip():
        return "an empty file"
    labels = [each.decode("ascii", "replace") for each in _BLOCK.findall(data)]
    if labels:
        return _named(labels)
    if data[:2] in _UTF16:
        return "text in UTF-16 (save it as UTF-8)"
    if _BASE64.fullmatch(data):
        return "base64 without a line '-----BEGIN CERTIFICATE-----' before it"
    if _PFX.match(data):
        return "PKCS #12 ('openssl pkcs12 -nokeys' makes PEM of it)"
    return _of_der(data) if data[:1] == b"\x30" else "something else"


def _named(labels: list[str]) -> str:
    for label in labels:
        if label in _LABELS:
            return _LABELS[label]
    if any(label.endswith("PRIVATE KEY") for label in labels):
        return _KEY
    if any(label.endswith("PUBLIC KEY") for label in labels):
        return "a public key"
    return f"PEM of another kind, {shown(labels[0])}"


def _of_der(data: bytes) -> str:
    for load, name in _DER:
        try:
            load(data)
        except (ValueError, UnsupportedAlgorithm):
            continue
        return name
    return "DER of another kind, or cut off"
