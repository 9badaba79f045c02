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


def split(der: bytes) -> tuple[int, bytes, bytes]:
    """Return the first element's tag and content, and whatever follows it.

    Raises:
        ValueError: The element is not whole, or its tag or length is of a form that
            certificates do not have.
    """
    if len(der) < 2:
        raise ValueError(f"an element must be whole, got {len(der)} bytes")
    tag, first = der[0], der[1]
    octets = first & 0x7F if first & 0x80 else 0
    begin = 2 + octets
    length = int.from_bytes(der[2:begin]) if octets else first
    end = begin + length
    if first == 0x80 or len(der) < end:
        raise ValueError(f"an element must be whole, got {len(der)} bytes")
    return tag, der[begin:end], der[end:]


def elements(content: bytes) -> list[bytes]:
    """Return the elements that follow one another in *content*, each of them whole.

    Raises:
        ValueError: The last one is not.
    """
    found = []
    while content:
        rest = split(content)[2]
        found.append(content[: len(content) - len(rest)])
        content = rest
    return found


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
