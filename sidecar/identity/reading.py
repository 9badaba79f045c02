"""Reading certificates that somebody hostile may have made.

`cryptography` parses a certificate's outline when it loads it and the rest when
it is asked for; this is the one place that asks, and the one that knows which
exceptions come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias, TypeVar, cast

from cryptography import x509

from sidecar.identity.der import elements

Extensions: TypeAlias = Mapping[
    x509.ObjectIdentifier, x509.Extension[x509.ExtensionType]
]

_Kind = TypeVar("_Kind", bound=x509.ExtensionType)

# What cryptography's lazy parts raise. ValueError: bad DER, or a value that the
# Python class refuses. TypeError: a name attribute of a wrong ASN.1 type.
# KeyError: an enumerated value that it has no name for (TLS feature). The two
# of x509 derive from Exception itself.
UNREADABLE: Final = (
    ValueError,
    TypeError,
    KeyError,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises for certificates that it cannot read."""


class SvidError(ValueError):
    """A certificate breaks a rule; the message states which, and what was found.

    Attributes:
        code: The rule's name, e.g. ``key-usage-critical``: stable, for tests and
            for whoever counts.
        clause: Where the rule stands, e.g. ``X509-SVID 4.3``.
    """

    def __init__(self, code: str, clause: str, message: str) -> None:
        super().__init__(f"{message} ({clause})")
        self.code = code
        self.clause = clause
        self._message = message

    def at(self, place: str) -> SvidError:
        """Return the same with *place* before its message."""
        return SvidError(self.code, self.clause, f"{place}: {self._message}")


def read_extensions(certificate: x509.Certificate) -> Extensions:
    """Return every extension by its OID, each of them parsed.

    Raises:
        SvidError: One of them cannot be parsed, or is there twice.
    """
    try:
        return {extension.oid: extension for extension in certificate.extensions}
    except UNREADABLE as error:
        raise SvidError(
            "extensions-readable",
            "RFC 5280 4.2",
            f"extensions must be well formed, got {_reason(error)}",
        ) from error


def read_subject(certificate: x509.Certificate) -> x509.Name:
    """Return the subject.

    Raises:
        SvidError: It cannot be parsed.
    """
    try:
        return certificate.subject
    except UNREADABLE as error:
        raise _name_error("subject", "RFC 5280 4.1.2.6", error) from error


def read_issuer(certificate: x509.Certificate) -> x509.Name:
    """Return the issuer.

    Raises:
        SvidError: It cannot be parsed.
    """
    try:
        return certificate.issuer
    except UNREADABLE as error:
        raise _name_error("issuer", "RFC 5280 4.1.2.4", error) from error


def _name_error(name: str, clause: str, error: Exception) -> SvidError:
    text = f"{name} must be well formed, got {_reason(error)}"
    return SvidError(f"{name}-readable", clause, text)


def value_of(extensions: Extensions, kind: type[_Kind]) -> _Kind | None:
    """Return the extension of this kind, or None if the certificate has none."""
    extension = extensions.get(kind.oid)
    return None if extension is None else cast("_Kind", extension.value)


def read_alternative_names(extensions: Extensions) -> x509.SubjectAlternativeName:
    """Return the subject alternative names, none of them if there is no extension."""
    names = value_of(extensions, x509.SubjectAlternativeName)
    return x509.SubjectAlternativeName([]) if names is None else names


def read_pem(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file in its order, at least one.

    Blocks of another kind, and text between the blocks, are passed over.

    Raises:
        SvidError: There is no certificate, or one that cannot be parsed.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except (*UNREADABLE, x509.InvalidVersion) as error:
        raise SvidError(
            "pem-readable",
            "RFC 7468 5",
            f"must be PEM with at least one certificate, got {_instead(pem)}",
        ) from error


def read_der(der: bytes) -> tuple[x509.Certificate, ...]:
    """Return certificates in DER that follow one another without a gap, at least one.

    That is how a Workload API sends chains and bundles.

    Raises:
        SvidError: There is none, or one that cannot be parsed.
    """
    try:
        found = tuple(map(x509.load_der_x509_certificate, elements(der)))
    except (*UNREADABLE, x509.InvalidVersion) as error:
        raise _der_error("something else") from error
    if not found:
        raise _der_error("nothing")
    return found


def _der_error(got: str) -> SvidError:
    text = f"must be at least one certificate in DER, got {got}"
    return SvidError("der-readable", "Workload API 5.2.1", text)


def _instead(pem: bytes) -> str:
    if b"-----BEGIN CERTIFICATE-----" in pem:
        return "one that cannot be parsed"
    if b"PRIVATE KEY-----" in pem:
        return "a private key"
    if pem[:1] == b"0":  # a SEQUENCE, with which DER begins and no text does
        return "what may be DER: convert it with openssl x509 -inform der"
    return "none"


def _reason(error: Exception) -> str:
    # One line, bounded: the text may quote bytes of the certificate.
    return f"{type(error).__name__}: {str(error)[:100]!r}"
