"""The names of a certificate that has no SPIFFE ID: its DNS SANs and its subject.

Peers that are not part of a SPIFFE mesh are known by these, where the
configuration accepts it. Whether a certificate may be read this way is for the
caller to decide: one that carries a SPIFFE ID never may.
"""

from __future__ import annotations

from typing import Final, Self

from attrs import frozen
from cryptography import x509

from sidecar.identity.reading import (
    read_alternative_names,
    read_extensions,
    read_subject,
)

_MAX_SHOWN: Final = 256  # a label or a log field, whatever the certificate says
_SPECIAL: Final = frozenset('"+,;<>\\')  # RFC 4514, 2.4


@frozen
class CertificateNames:
    """What a certificate calls its holder, beside any SPIFFE ID.

    Attributes:
        dns: The DNS names of the SAN extension, in lower case, as DNS compares
            them. Never the common name.
        subject: The subject's attributes in the certificate's order, with the
            short names of RFC 4514 where there is one: ``(("O", "Acme"),)``.
    """

    dns: frozenset[str]
    subject: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        """Read the names of *certificate*.

        Raises:
            SvidError: The certificate cannot be read.
        """
        sans = read_alternative_names(read_extensions(certificate))
        return cls(
            dns=frozenset(n.lower() for n in sans.get_values_for_type(x509.DNSName)),
            subject=attributes_of(read_subject(certificate)),
        )

    def __str__(self) -> str:
        """Give one bounded, printable name: ``dns:a.example.org``, ``subject:OU=web``.

        Of several DNS names it is the first in alphabetical order, so that one
        certificate always has one name.
        """
        if self.dns:
            text = f"dns:{escaped(min(self.dns))}"
        else:
            pairs = (f"{name}={escaped(value)}" for name, value in self.subject)
            text = f"subject:{','.join(pairs)}"
        return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."


def attributes_of(name: x509.Name) -> tuple[tuple[str, str], ...]:
    """Return the attributes of a subject or an issuer, in the certificate's order."""
    return tuple(
        (attribute.rfc4514_attribute_name, _text(attribute.value)) for attribute in name
    )


def escaped(text: str) -> str:
    """Return *text* printable, in one line: for a log or a terminal."""
    return "".join(map(_escaped, text))


def _text(value: str | bytes) -> str:
    # RFC 4514, 2.4: what is no string is written as '#' and hexadecimal.
    return value if isinstance(value, str) else f"#{value.hex()}"


def _escaped(character: str) -> str:
    if character in _SPECIAL:
        return f"\\{character}"
    if character.isprintable():
        return character
    octets = character.encode(errors="surrogatepass")
    return "".join(f"\\{octet:02X}" for octet in octets)
