"""What somebody has who has no certificate."""

from __future__ import annotations

import base64
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from hypothesis import example, given, strategies as st

from sidecar.certs.instead import instead
from tests.support.pki import new_authority

AUTHORITY = new_authority()
ROOT = AUTHORITY.root
KEY = ec.generate_private_key(ec.SECP256R1())
SECRET = BestAvailableEncryption(b"secret")
CRL = AUTHORITY.crl([7], now=dt.datetime.now(dt.UTC))
CSR = (
    x509.CertificateSigningRequestBuilder()
    .subject_name(x509.Name([]))
    .sign(KEY, hashes.SHA256())
)
PKCS7 = pkcs7.serialize_certificates([ROOT], Encoding.DER)

FOUND: dict[str, tuple[bytes, bytes]] = {
    "a private key": (
        KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, SECRET),
    ),
    "a public key": (
        KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ),
    "a request for one": (
        CSR.public_bytes(Encoding.PEM),
        CSR.public_bytes(Encoding.DER),
    ),
    "a revocation list": (
        CRL.public_bytes(Encoding.PEM),
        CRL.public_bytes(Encoding.DER),
    ),
    "PKCS #7 ('openssl pkcs7": (
        pkcs7.serialize_certificates([ROOT], Encoding.PEM),
        PKCS7,
    ),
    "PKCS #12 ('openssl pkcs12": (
        pkcs12.serialize_key_and_certificates(b"", KEY, None, [ROOT], NoEncryption()),
        pkcs12.serialize_key_and_certificates(None, None, None, [ROOT], SECRET),
    ),
    "an empty file": (b"", b"\n \n"),
    "something else": (b"text", bytes(100)),
    "DER of another kind, or cut off": (b"0\x80", PKCS7[:-1]),
    "text in UTF-16": ("\ufeffpem".encode("utf-16-le"), "\ufeffp".encode("utf-16-be")),
    "base64 without a line '-----BEGIN CERTIFICATE-----'": (
        base64.b64encode(ROOT.public_bytes(Encoding.DER)),
        base64.encodebytes(ROOT.public_bytes(Encoding.DER)),
    ),
    "one that cannot be parsed": (
        ROOT.public_bytes(Encoding.PEM)[:99],
        b"-----BEGIN X509 CERTIFICATE-----\n",
    ),
    "one in OpenSSL's own form": (
        b"-----BEGIN TRUSTED CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\n-----BEGIN TRUSTED CERTIFICATE-----\n",
    ),
    "PEM of another kind, 'EC PARAMETERS'": (
        b"-----BEGIN EC PARAMETERS-----\n",
        b"text\n-----BEGIN EC PARAMETERS-----",
    ),
}


@pytest.mark.parametrize("what", FOUND)
def test_people_are_told_what_they_have(what: str) -> None:
    for data in FOUND[what]:
        assert instead(data).startswith(what)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(b"\x30".__add__))
@example(b"-----BEGIN \xff\x1b-----")
def test_any_bytes_are_something(data: bytes) -> None:
    assert instead(data).isprintable()
