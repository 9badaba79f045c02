"""Trust bundles: the roots of one trust domain, and the roots of unnamed peers.

Bundles are never merged. A leaf is verified against the bundle of its own trust
domain only, or else any federated authority could sign for any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from attrs import frozen
from cryptography import x509

from sidecar.identity.facts import Facts
from sidecar.identity.jwks import JwksError, JwkSet, looks_like_jwks
from sidecar.identity.reading import SvidError, read_der, read_pem
from sidecar.identity.spiffe_id import SpiffeIdError, parse_trust_domain
from sidecar.identity.svid import check_signing_certificate

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    Reading = Callable[[bytes], tuple[x509.Certificate, ...]]


class BundleError(ValueError):
    """The text is not a trust bundle; the message says where, and the rule."""


@frozen
class TrustBundle:
    """The certificates that a trust domain's SVIDs lead to.

    Attributes:
        trust_domain: Whose they are.
        roots: In the order of the file, each of them once; none where nothing of
            the domain is to be trusted, which only a JWK Set can say. They need not
            sign themselves (X509-SVID 6.1 only says that they should).
        sequence: Of a JWK Set that has one: it grows with each change.
        refresh_hint: Of a JWK Set that has one: seconds between two looks at it.
    """

    trust_domain: str
    roots: tuple[x509.Certificate, ...]
    sequence: int | None = None
    refresh_hint: int | None = None

    @classmethod
    def from_file(cls, trust_domain: str, data: bytes) -> Self:
        """Read the bundle of *trust_domain*: PEM, or a JWK Set as SPIFFE writes it.

        Raises:
            BundleError: As for `from_pem` and `from_jwks`.
        """
        if looks_like_jwks(data):
            return cls.from_jwks(trust_domain, data)
        return cls.from_pem(trust_domain, data)

    @classmethod
    def from_jwks(cls, trust_domain: str, data: bytes) -> Self:
        """Read the bundle of *trust_domain* from a JWK Set.

        Raises:
            BundleError: The trust domain is not one, the text is no such bundle, or
                one of the certificates may not sign for it.
        """
        try:
            found = JwkSet.parse(data)
        except JwksError as error:
            raise BundleError(str(error)) from error
        roots = _roots(trust_domain, data, lambda _: found.certificates)
        return cls(trust_domain, roots, found.sequence, found.refresh_hint)

    @classmethod
    def from_pem(cls, trust_domain: str, pem: bytes) -> Self:
        """Read the bundle of *trust_domain* from a PEM file.

        Raises:
            BundleError: The trust domain is not one, the file cannot be parsed or
                has no certificate, or one of them may not sign for it.
        """
        return cls(trust_domain, _roots(trust_domain, pem, read_pem))

    @classmethod
    def from_der(cls, trust_domain: str, der: bytes) -> Self:
        """Read the bundle of *trust_domain* as a Workload API sends it.

        Raises:
            BundleError: As for `from_pem`.
        """
        return cls(trust_domain, _roots(trust_domain, der, read_der))

    def expires(self) -> dt.datetime | None:
        """Return when the last of the roots ends, in UTC: nothing is trusted after.

        None where there is no root.
        """
        return max((root.not_valid_after_utc for root in self.roots), default=None)


def parse_name_bundle(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Read the roots for peers that are known by DNS name or subject.

    These are no SPIFFE authorities, and older tools made many of them: X.509
    version 1 has no extensions at all, and a key usage is often left out. What is
    refused is a certificate that OpenSSL would not take for a CA either.

    Raises:
        BundleError: The file cannot be parsed, has no certificate, or has one that
            cannot be a CA.
    """
    return _checked(pem, read_pem, _check_authority)


def _roots(
    trust_domain: str, data: bytes, read: Reading
) -> tuple[x509.Certificate, ...]:
    try:
        parse_trust_domain(trust_domain)
    except SpiffeIdError as error:
        raise BundleError(str(error)) from error
    return _checked(
        data, read, lambda root: check_signing_certificate(root, trust_domain)
    )


def _checked(
    data: bytes, read: Reading, check: Callable[[x509.Certificate], None]
) -> tuple[x509.Certificate, ...]:
    try:
        certificates = read(data)
    except SvidError as error:
        raise BundleError(str(error)) from error
    for number, certificate in enumerate(certificates, 1):
        try:
            check(certificate)
        except SvidError as error:
            raise BundleError(f"certificate {number}: {error}") from error
    return tuple(dict.fromkeys(certificates))


def _check_authority(certificate: x509.Certificate) -> None:
    facts = Facts.of(certificate)
    if facts.key_usage and not facts.key_usage.key_cert_sign:
        raise SvidError(
            "authority-cert-sign",
            "RFC 5280 4.2.1.3",
            "a CA with a key usage must have keyCertSign, got one without it",
        )
    # What OpenSSL's X509_check_ca takes for a CA when nothing says that it is one:
    # version 1, which can say nothing, and a key usage (with keyCertSign, above).
    ca = facts.ca
    if ca is None:
        ca = certificate.version is x509.Version.v1 or facts.key_usage is not None
    if not ca:
        raise SvidError(
            "authority-ca", "RFC 5280 4.2.1.9", "a CA must have cA true, got false"
        )
