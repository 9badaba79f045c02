"""A little DER (X.690), for certificates that `cryptography` declines to build."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

SEQUENCE: Final = 0x30
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06

# RFC 5758 3.2: ecdsa-with-SHA256, without parameters.
_ECDSA_WITH_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")


def encode(tag: int, *contents: bytes) -> bytes:
    """Return one element of this tag around the contents, one after another."""
    content = b"".join(contents)
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def sign(tbs: bytes, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return the certificate whose signed part is *tbs*, whatever that says.

    Its algorithm must be ecdsa-with-SHA256, which is how `cryptography` writes it
    for a key on P-256.
    """
    signature = key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return x509.load_der_x509_certificate(
        encode(
            SEQUENCE,
            tbs,
            _ECDSA_WITH_SHA256,
            encode(BIT_STRING, b"\x00", signature),
        )
    )
