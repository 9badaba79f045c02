"""Certificates for the tests of `sidecar.identity`, good unless told otherwise.

They sign themselves: nothing in that package verifies a signature.
"""

from __future__ import annotations

import datetime as dt
import functools
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from sidecar.certs import der
from sidecar.identity.der import elements, split
from sidecar.identity.facts import Facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificateIssuerPrivateKeyTypes as PrivateKey,
    )

    from sidecar.identity.rules import Rule

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
SPIFFE_ID = "spiffe://example.org/ns/shop/sa/cart"
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)

Extension = tuple[x509.ExtensionType, bool]


@functools.cache
def key(name: str = "leaf") -> ec.EllipticCurvePrivateKey:
    """Return the same key for the same name."""
    return ec.generate_private_key(ec.SECP256R1())


def usage(*bits: str) -> x509.KeyUsage:
    """Return a key usage with just these bits, e.g. ``digital_signature``."""
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    assert set(bits) <= set(names)
    return x509.KeyUsage(**{name: name in bits for name in names})


def sans(*uris: str, dns: Iterable[str] = ()) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [
            *(x509.UniformResourceIdentifier(uri) for uri in uris),
            *(x509.DNSName(name) for name in dns),
        ]
    )


def subject(*pairs: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])


NOBODY = x509.Name([])
ACME = subject((NameOID.ORGANIZATION_NAME, "Acme"))

LEAF: dict[str, Extension] = {
    "basic": (x509.BasicConstraints(ca=False, path_length=None), True),
    "usage": (usage("digital_signature"), True),
    "extended": (x509.ExtendedKeyUsage(BOTH), False),
    "san": (sans(SPIFFE_ID), True),
}
SIGNER: dict[str, Extension] = {
    "basic": (x509.BasicConstraints(ca=True, path_length=None), True),
    "usage": (usage("key_cert_sign", "crl_sign"), True),
    "san": (sans("spiffe://example.org"), True),
}


def build(
    extensions: Sequence[Extension],
    *,
    name: x509.Name = NOBODY,
    signer: PrivateKey | None = None,
    lifetime: dt.timedelta = HOUR,
) -> x509.Certificate:
    """Return a certificate with exactly these extensions, valid from noon."""
    private = signer or key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(NOON)
        .not_valid_after(NOON + lifetime)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    edwards = isinstance(private, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return builder.sign(private, None if edwards else hashes.SHA256())


def leaf(
    *,
    name: x509.Name = NOBODY,
    **changes: Extension | None,
) -> x509.Certificate:
    """Return a good SVID with these of its extensions replaced, or left out."""
    return build([e for e in (LEAF | changes).values() if e], name=name)


def signer(*, name: x509.Name = ACME, **changes: Extension | None) -> x509.Certificate:
    """Return a good signing certificate, changed in the same way."""
    return build([e for e in (SIGNER | changes).values() if e], name=name)


def raw(oid: x509.ObjectIdentifier, value: bytes) -> Extension:
    """Return an extension of any content, also what the classes refuse to hold."""
    return x509.UnrecognizedExtension(oid, value), False


def patched(
    certificate: x509.Certificate, old: bytes, new: bytes, times: int = 1
) -> x509.Certificate:
    """Return *certificate* with bytes of its DER replaced (the signature breaks)."""
    encoded = certificate.public_bytes(Encoding.DER)
    assert encoded.count(old) == times
    assert len(old) == len(new)
    return x509.load_der_x509_certificate(encoded.replace(old, new))


def duplicated_extension() -> x509.Certificate:
    """Return a certificate that has the extended key usage twice."""
    placeholder = b"\x06\x03\x55\x1d\x7f"
    twice = (*LEAF.values(), raw(x509.ObjectIdentifier("2.5.29.127"), b"\x30\x00"))
    return patched(build(twice), placeholder, b"\x06\x03\x55\x1d\x25")


def unreadable_extensions() -> dict[str, x509.Certificate]:
    """Return certificates that load, each with an extension that does not parse."""
    named = ExtensionOID.SUBJECT_ALTERNATIVE_NAME
    return {
        "twice": duplicated_extension(),
        "garbage": leaf(san=raw(named, b"\xff\xff\xff")),
        "empty": leaf(san=raw(named, b"")),
        "truncated": leaf(san=raw(named, b"\x30\x10\x86\x0espiffe://")),
        "no ia5": leaf(san=raw(named, b"\x30\x05\x86\x03\xff\xfe\xfd")),
        "x400": leaf(san=raw(named, b"\x30\x04\xa3\x02\x30\x00")),
        "bad ip": leaf(san=raw(named, b"\x30\x05\x87\x03\x01\x02\x03")),
        "tls feature": leaf(
            extra=raw(ExtensionOID.TLS_FEATURE, b"\x30\x03\x02\x01\x63")
        ),
        "not a ca with a length": leaf(
            basic=raw(ExtensionOID.BASIC_CONSTRAINTS, b"\x30\x03\x02\x01\x00")
        ),
    }


def unreadable_subjects(**changes: Extension | None) -> dict[str, x509.Certificate]:
    """Return certificates that load, with a subject that does not parse."""
    good = leaf(name=subject((NameOID.ORGANIZATION_NAME, "unreadable")), **changes)
    # The issuer is the same name: patch both, in a DER of unchanged length.
    old = b"\x0c\x0aunreadable"
    return {
        "a bit string": patched(good, old, b"\x03" + old[1:], times=2),
        "not utf-8": patched(good, old, b"\x0c\x0a\xff\xffreadable", times=2),
    }


def version_1(*, name: x509.Name = NOBODY) -> x509.Certificate:
    """Return a certificate of X.509 version 1, which has no extensions."""
    tbs = build([], name=name).tbs_certificate_bytes
    # RFC 5280 4.1.2.1: version 1 is the default, and left out.
    _, *rest = elements(split(tbs)[1])
    return der.sign(der.encode(der.SEQUENCE, *rest), key())


def broken(rules: Iterable[Rule], certificate: x509.Certificate) -> dict[str, str]:
    """Return the clause of every broken rule by its code."""
    facts = Facts.of(certificate)
    return {rule.code: rule.clause for rule in rules if rule.found(facts) is not None}


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(c.public_bytes(Encoding.PEM) for c in certificates)


def key_pem(private: PrivateKey) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
