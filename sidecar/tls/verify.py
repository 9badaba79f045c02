"""The verdict on a peer's certificates, given inside the handshake.

OpenSSL walks the chain without any root, and asks. A `Verifier` first reads whose
certificate it is, then verifies the chain against that trust domain alone. What is
found is remembered for as long as the certificates are valid and the generation
lives: a peer that comes again costs a look-up, and nothing is skipped by it, for
the answer could not have changed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from attrs import define, frozen
from cryptography import x509

from sidecar.config.model import NameKind
from sidecar.identity.names import CertificateNames
from sidecar.identity.svid import (
    SvidError,
    check_signing_certificate,
    has_spiffe_uri,
    leaf_spiffe_id,
)
from sidecar.telemetry.labels import Reason
from sidecar.tls.chain import Refusal, Roots, refusal_of
from sidecar.tls.openssl_binding import (
    V_HOSTNAME_MISMATCH,
    V_INVALID_PURPOSE,
    V_NO_ISSUER,
    V_OK,
    V_REJECTED,
    V_ROOTLESS,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.config.material import Material
    from sidecar.identity.peer import Peer
    from sidecar.identity.spiffe_id import SpiffeId
    from sidecar.policy.peer_index import PeerSet

# Each remembers a verdict of some 300 bytes and holds a key of a chain's size. Full,
# it is emptied: a peer seen often is back at its next handshake.
_REMEMBERED: Final = 2048


@frozen
class _Accepted:
    peer: Peer
    until: datetime
    """The first moment at which a certificate of the chain ends."""


class Verifier:
    """Judges chains for one generation of trust."""

    def __init__(self, material: Material, clock: Callable[[], datetime]) -> None:
        self._accept = material.accept
        self._roots = {
            name: Roots(bundle.roots, material.crls)
            for name, bundle in material.bundles.items()
        }
        self._name_roots = (
            Roots(material.name_roots, material.crls) if material.name_roots else None
        )
        self._clock = clock
        self._accepted: dict[tuple[bytes, ...], _Accepted] = {}

    def verify(self, chain: tuple[bytes, ...]) -> Peer | Refusal:
        """Say whose *chain* (DER, leaf first) it is, or why it is refused.

        Whatever the bytes, it gives one or the other and raises nothing.
        """
        known = self._accepted.get(chain)
        if known is not None and self._clock() < known.until:
            return known.peer
        try:
            certificates = [x509.load_der_x509_certificate(each) for each in chain]
            verdict = self._judge(certificates)
        except ValueError as error:
            # SvidError, and what cryptography says of DER that is none.
            return Refusal(Reason.NOT_AN_SVID, str(error), V_REJECTED)
        if isinstance(verdict, Refusal):
            return verdict
        if len(self._accepted) >= _REMEMBERED:
            self._accepted.clear()
        until = min(each.not_valid_after_utc for each in certificates)
        self._accepted[chain] = _Accepted(verdict, until)
        return verdict

    def _judge(self, chain: list[x509.Certificate]) -> Peer | Refusal:
        leaf, *issuers = chain
        if NameKind.SPIFFE in self._accept and has_spiffe_uri(leaf):
            spiffe_id = leaf_spiffe_id(leaf)
            roots = self._roots.get(spiffe_id.trust_domain)
            if roots is None:
                return Refusal(
                    Reason.UNKNOWN_TRUST_DOMAIN,
                    f"no bundle for the trust domain of {spiffe_id}",
                    V_NO_ISSUER,
                )
            return roots.verify(chain) or self._issued(spiffe_id, issuers)
        if self._name_roots is None:
            leaf_spiffe_id(leaf)  # no SPIFFE ID: it says which rule that breaks
        if self._name_roots is None or has_spiffe_uri(leaf):
            return Refusal(
                Reason.NOT_AN_SVID, "identity.accept does not take it", V_REJECTED
            )
        return self._name_roots.verify(chain) or CertificateNames.of(leaf)

    def _issued(
        self, name: SpiffeId, issuers: list[x509.Certificate]
    ) -> Peer | Refusal:
        """Hold the intermediates to the rules of signing certificates."""
        for issuer in issuers:
            try:
                check_signing_certificate(issuer, name.trust_domain)
            except SvidError as error:
                return Refusal(Reason.UNTRUSTED_CHAIN, str(error), V_REJECTED)
        return name


@define
class PeerCheck:
    """The `openssl_binding.Judge` of one connection: its verdict and what it found."""

    verifier: Verifier
    expected: PeerSet | None = None
    """Whom an outbound route expects; None where a policy will decide."""
    peer: Peer | None = None
    refusal: Refusal | None = None

    def fault(self, code: int, depth: int) -> int:
        """Overlook that no root is known yet; anything else is final."""
        if code in V_ROOTLESS:
            return V_OK
        refusal = refusal_of(code, depth)
        if depth == 0 and code == V_INVALID_PURPOSE:
            refusal = Refusal(Reason.NOT_AN_SVID, refusal.detail, code)
        return self._refuse(refusal)

    def verdict(self, chain: tuple[bytes, ...]) -> int:
        """Judge the whole chain, then whether it is the peer that was expected."""
        peer = self.verifier.verify(chain)
        if isinstance(peer, Refusal):
            return self._refuse(peer)
        if self.expected is not None and not self.expected.matches(peer):
            detail = f"{peer} is not one of the route's peers"
            return self._refuse(
                Refusal(Reason.UNEXPECTED_PEER, detail, V_HOSTNAME_MISMATCH)
            )
        self.peer = peer
        return V_OK

    def _refuse(self, refusal: Refusal) -> int:
        self.refusal = refusal
        return refusal.code


def utc_now() -> datetime:
    """Read the clock that certificates go by."""
    return datetime.now(UTC)
