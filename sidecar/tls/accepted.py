"""Which names of a peer count, before anything is known of who signed them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.config.model import NameKind
from sidecar.identity.names import CertificateNames

if TYPE_CHECKING:
    from sidecar.identity.spiffe_id import SpiffeId


def accepted_names(
    names: CertificateNames, accept: frozenset[NameKind]
) -> CertificateNames | None:
    """Give those *names* of a certificate without a SPIFFE ID that count, if any do."""
    counting = CertificateNames(
        dns=names.dns if NameKind.DNS in accept else frozenset(),
        subject=names.subject if NameKind.SUBJECT in accept else (),
    )
    return counting if counting.dns or counting.subject else None


def not_accepted(what: str, accept: frozenset[NameKind]) -> str:
    """Say that a certificate has *what*, and nothing that counts."""
    return f"expected one of identity.accept ({', '.join(sorted(accept))}), got {what}"


def unknown_trust_domain(spiffe_id: SpiffeId) -> str:
    """Say that nobody can vouch for *spiffe_id*."""
    return f"no bundle for the trust domain of {spiffe_id}"
