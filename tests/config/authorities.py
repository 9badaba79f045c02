"""Authorities that sign what the tests of certificate files need, good and bad."""

from __future__ import annotations

import datetime as dt
import functools
from typing import TYPE_CHECKING, Any

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime(2026, 1, 5, 3, 4, 5, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
SPIFFE_ID = "spiffe://example.org/ns/shop/sa/cart"

Key = ec.EllipticCurvePrivateKey


@functools.cache
def key(name: str) -> Key:
    """Return the same key for the same name."""
    return ec.generate_private_key(ec.SECP256R1())


def subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])


def usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


@frozen
class Authority:
    """A certificate that may sign others, by the name of its key."""

    name: str
    certificate: x509.Certificate

    @classmethod
    def root(cls, name: str = "root", **times: Any) -> Authority:
        return cls(name, sign(name, name, authority=True, **times))

    def intermediate(self, name: str, **times: Any) -> Authority:
        return Authority(name, sign(name, self.name, authority=True, **times))

    def leaf(self, *uris: str, name: str = "leaf", **times: Any) -> x509.Certificate:
        return sign(name, self.name, uris or (SPIFFE_ID,), **times)

    def crl(
        self, due: dt.datetime, begin: dt.datetime = NOW - 10 * DAY
    ) -> x509.CertificateRevocationList:
        return (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(begin)
            .next_update(due)
            .sign(key(self.name), hashes.SHA256())
        )


def sign(
    name: str,
    issuer: str,
    uris: tuple[str, ...] = (),
    *,
    authority: bool = False,
    begin: dt.datetime = NOW - 30 * DAY,
    end: dt.datetime = NOW + 3 * DAY,
    dns: str | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject(name))
        .issuer_name(subject(issuer))
        .public_key(key(name).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), True)
        .add_extension(usage(signs=authority), True)
    )
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(u) for u in uris]
    if dns is not None:
        names = [x509.DNSName(dns)]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    return builder.sign(key(issuer), hashes.SHA256())


def pem(*certificates: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def key_pem(name: str = "leaf", password: bytes | None = None) -> bytes:
    secret = BestAvailableEncryption(password) if password else NoEncryption()
    return key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)


def write_workload(directory: Path, root: Authority | None = None) -> Authority:
    """Write `tls.crt`, `tls.key` and `ca.crt`, all of them good at `NOW`."""
    root = root or Authority.root()
    (directory / "tls.crt").write_bytes(pem(root.leaf()))
    (directory / "tls.key").write_bytes(key_pem())
    (directory / "tls.key").chmod(0o600)
    (directory / "ca.crt").write_bytes(pem(root.certificate))
    return root
