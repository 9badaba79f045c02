"""The roots and lists of all trust domains, each by itself, as OpenSSL keeps them.

What is the same in the generation before is taken over as it is, so that a verdict
that was given by it still stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.tls.chain import Roots, has_signed

if TYPE_CHECKING:
    from cryptography import x509

    from sidecar.config.material import Trust


class Stores:
    """Keeps those of *trust*; *before* are those of the generation before it.

    Attributes:
        names: Those of peers that are known by dns or subject, if there are any.
        accept: Which names count.
    """

    def __init__(self, trust: Trust, before: Stores | None = None) -> None:
        self.accept = trust.accept
        same = before if before and before.accept == trust.accept else None
        self._domains = {
            name: _roots(bundle.roots, trust, same.of(name) if same else None)
            for name, bundle in trust.bundles.items()
        }
        self.names: Roots | None = None
        if trust.name_roots:
            self.names = _roots(trust.name_roots, trust, same.names if same else None)

    def of(self, trust_domain: str) -> Roots | None:
        """Give those of *trust_domain*; None where it has no bundle."""
        return self._domains.get(trust_domain)

    def still_has(self, roots: Roots, trust_domain: str | None) -> bool:
        """Tell whether *roots* are those of a domain, or of names where it is None."""
        if trust_domain is None:
            return roots is self.names
        return roots is self._domains.get(trust_domain)


def _roots(
    roots: tuple[x509.Certificate, ...], trust: Trust, before: Roots | None
) -> Roots:
    lists = _lists_for(roots, trust)
    if before is not None and (before.certificates, before.lists) == (roots, lists):
        return before
    return Roots(roots, lists)


def _lists_for(
    roots: tuple[x509.Certificate, ...], trust: Trust
) -> tuple[x509.CertificateRevocationList, ...]:
    """Choose the lists of *trust* that may concern a chain to *roots*.

    All but those that the root of another domain signed: it may have the same name.
    The CA of a list that no root signed may be part of any chain.
    """
    everybody = [*trust.name_roots]
    for bundle in trust.bundles.values():
        everybody += bundle.roots
    return tuple(
        each
        for each in trust.crls
        if has_signed(roots, each) or not has_signed(everybody, each)
    )
