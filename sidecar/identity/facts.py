"""What the SPIFFE rules look at in a certificate, read once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from attrs import frozen
from cryptography import x509

from sidecar.identity.reading import (
    Extensions,
    read_alternative_names,
    read_extensions,
    value_of,
)
from sidecar.identity.spiffe_id import SCHEME

if TYPE_CHECKING:
    from collections.abc import Sequence


@frozen
class Facts:
    """The parts of one certificate that decide whether it is an SVID."""

    certificate: x509.Certificate
    uris: Sequence[str]
    names_critical: bool
    """Whether the subject alternative names are; False if there are none."""
    ca: bool | None
    """The cA flag; None, which means false, if there are no basic constraints."""
    key_usage: x509.KeyUsage | None
    key_usage_critical: bool
    purposes: x509.ExtendedKeyUsage | None

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        """Read *certificate*.

        Raises:
            SvidError: Its extensions cannot be parsed.
        """
        extensions = read_extensions(certificate)
        names = read_alternative_names(extensions)
        constraints = value_of(extensions, x509.BasicConstraints)
        return cls(
            certificate=certificate,
            uris=names.get_values_for_type(x509.UniformResourceIdentifier),
            names_critical=_is_critical(extensions, x509.SubjectAlternativeName),
            ca=None if constraints is None else constraints.ca,
            key_usage=value_of(extensions, x509.KeyUsage),
            key_usage_critical=_is_critical(extensions, x509.KeyUsage),
            purposes=value_of(extensions, x509.ExtendedKeyUsage),
        )

    @property
    def spiffe_uris(self) -> list[str]:
        """The URIs that claim to be SPIFFE IDs, well formed or not."""
        # SPIFFE-ID 2.4: the scheme is case-insensitive. `SpiffeId` takes only lower
        # case, but a claim in capitals is a claim all the same.
        return [uri for uri in self.uris if uri[:7].lower() == f"{SCHEME}:"]


def _is_critical(extensions: Extensions, kind: type[x509.ExtensionType]) -> bool:
    extension = extensions.get(kind.oid)
    return extension is not None and extension.critical
