"""Certificates before they are signed: what will be in them, easy to change.

The two functions give what the X509-SVID standard asks of a leaf and of a signing
certificate; whoever wants another one begins with these and changes a part.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final, Self, TypeAlias, TypeVar

from attrs import evolve, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificatePublicKeyTypes,
    )

BACKDATED: Final = dt.timedelta(minutes=2)
"""How far before its making a certificate begins: the clocks of peers differ."""

BOTH_PURPOSES: Final = (
    ExtendedKeyUsageOID.SERVER_AUTH,
    ExtendedKeyUsageOID.CLIENT_AUTH,
)

Extension: TypeAlias = x509.Extension[x509.ExtensionType]

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)

_USAGES: Final = (
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


@frozen
class Blueprint:
    """Everything that a certificate says, except who signs it."""

    public_key: CertificatePublicKeyTypes
    not_before: dt.datetime
    not_after: dt.datetime
    extensions: tuple[Extension, ...]
    subject: x509.Name = field(factory=lambda: x509.Name([]))
    serial: int = field(factory=x509.random_serial_number)

    def find(self, kind: type[_Kind]) -> _Kind:
        """Return the extension of this kind, which is there."""
        (found,) = (e.value for e in self.extensions if isinstance(e.value, kind))
        return found

    def extended(self, value: x509.ExtensionType, *, critical: bool) -> Self:
        """Return one with this extension, in the place of one of the same OID."""
        new = x509.Extension(value.oid, critical, value)
        if any(old.oid == new.oid for old in self.extensions):
            kept = (new if old.oid == new.oid else old for old in self.extensions)
            return evolve(self, extensions=tuple(kept))
        return evolve(self, extensions=(*self.extensions, new))

    def without(self, kind: type[x509.ExtensionType]) -> Self:
        """Return one that has no extension of this kind."""
        kept = (old for old in self.extensions if old.oid != kind.oid)
        return evolve(self, extensions=tuple(kept))

    def sign(
        self, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None = None
    ) -> x509.Certificate:
        """Sign it with *key*, as *issuer*, or as itself if there is none."""
        name = self.subject if issuer is None else issuer.subject
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(name)
            .public_key(self.public_key)
            .serial_number(self.serial)
            .not_valid_before(self.not_before)
            .not_valid_after(self.not_after)
        )
        for extension in self.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        if issuer is not None:
            builder = builder.add_extension(_key_of(issuer), critical=False)
        return builder.sign(key, hashes.SHA256())


def _key_of(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    # RFC 5280 4.2.1.1: it tells issuers of one name, such as an old and a new CA,
    # apart.
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
        issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    )


def key_usage(*bits: str) -> x509.KeyUsage:
    """Return a key usage with just these bits, in `cryptography`'s names."""
    return x509.KeyUsage(**{usage: usage in bits for usage in _USAGES})


def alternative_names(
    uris: Iterable[str], dns: Iterable[str] = ()
) -> x509.SubjectAlternativeName:
    """Return the names of a SAN extension, URIs first."""
    return x509.SubjectAlternativeName(
        [
            *map(x509.UniformResourceIdentifier, uris),
            *map(x509.DNSName, dns),
        ]
    )


def leaf(
    uri: str,
    public_key: CertificatePublicKeyTypes,
    *,
    now: dt.datetime,
    lifetime: dt.timedelta,
    dns: Iterable[str] = (),
) -> Blueprint:
    """Return an SVID for *uri*, which is not checked, with an empty subject.

    X509-SVID 2, 3.1, 4.1, 4.3 and 4.4.
    """
    return (
        _blueprint(public_key, now, lifetime)
        .extended(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .extended(key_usage("digital_signature"), critical=True)
        .extended(x509.ExtendedKeyUsage(BOTH_PURPOSES), critical=False)
        .extended(alternative_names([uri], dns), critical=True)
    )


def signer(
    trust_domain: str,
    public_key: CertificatePublicKeyTypes,
    name: str,
    *,
    now: dt.datetime,
    lifetime: dt.timedelta,
) -> Blueprint:
    """Return a signing certificate of *trust_domain* with *name* in its subject.

    X509-SVID 3.2, 4.1 and 4.3; its subject is not empty (RFC 5280 4.1.2.6).
    """
    subject = x509.Name(
        [
            # RFC 5280, appendix A: at most 64 characters.
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    return evolve(
        _blueprint(public_key, now, lifetime)
        .extended(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .extended(key_usage("key_cert_sign", "crl_sign"), critical=True)
        .extended(alternative_names([f"spiffe://{trust_domain}"]), critical=False),
        subject=subject,
    )


def _blueprint(
    public_key: CertificatePublicKeyTypes, now: dt.datetime, lifetime: dt.timedelta
) -> Blueprint:
    identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
    return Blueprint(
        public_key=public_key,
        not_before=now - BACKDATED,
        not_after=now + lifetime,
        extensions=(x509.Extension(identifier.oid, False, identifier),),
    )
