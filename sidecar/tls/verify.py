"""The verdict on a peer's certificates, given inside the handshake.

OpenSSL walks the chain without any root, and asks. A `Verifier` first reads whose
certificate it is, then verifies the chain against that trust domain alone. What is
found is remembered for as long as the certificates are valid and the generation
lives: a peer that comes again costs a look-up, and nothing is skipped by it, for
the answer could not have changed. The same goes for who is still there when another
generation begins, if it trusts the peer's own domain by the same roots and lists.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from attrs import define, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.config.model import NameKind
from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.identity.svid import (
    SvidError,
    check_signing_certificate,
    has_spiffe_uri,
    leaf_spiffe_id,
)
from sidecar.telemetry.labels import Reason
from sidecar.tls.accepted import (
    accepted_names,
    not_accepted,
    unknown_trust_domain,
)
from sidecar.tls.chain import refusal_of
from sidecar.tls.openssl_binding import (
    V_EXPIRED,
    V_HOSTNAME_MISMATCH,
    V_INVALID_PURPOSE,
    V_NO_ISSUER,
    V_NOT_YET_VALID,
    V_OK,
    V_REJECTED,
)
from sidecar.tls.refusal import Refusal
from sidecar.tls.stores import Stores

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.config.material import Trust
    from sidecar.identity.peer import Peer
    from sidecar.policy.peer_index import PeerSet
    from sidecar.tls.chain import Roots, Verified

# Some 2 KiB each, whatever else a peer shows. Full, it forgets who was away longest.
_REMEMBERED: Final = 2048

_NEVER: Final = datetime.max.replace(tzinfo=UTC)

_OF_TIME: Final = frozenset({V_EXPIRED, V_NOT_YET_VALID})


@frozen(eq=False)
class Proof:
    """What a peer was accepted by."""

    peer: Peer
    chain: tuple[bytes, ...]
    """The leaf and the issuers that were needed, without what was shown beside them."""
    until: datetime
    """The first moment at which one of them ends, or their root, or a list."""
    roots: Roots
    """Those to which it leads."""


class Verifier:
    """Judges chains for one generation of trust; clocks may differ by *skew*.

    *before* did so for the generation before this one.
    """

    def __init__(
        self,
        material: Trust,
        clock: Callable[[], datetime],
        skew: timedelta = timedelta(0),
        before: Verifier | None = None,
    ) -> None:
        self.skew = skew
        self._accept = material.accept
        former: Stores | None = None if before is None else before.stores
        self.stores: Stores = Stores(material, former)
        self._clock = clock
        self._due = _NEVER
        self._proofs: dict[bytes, Proof] = {}
        self._chains: dict[bytes, tuple[bytes, ...]] = {}

    def verify(self, chain: tuple[bytes, ...]) -> Peer | Refusal:
        """Say whose *chain* (DER, leaf first) it is, or why it is refused.

        Whatever the bytes, it gives one or the other and raises nothing.
        """
        found = self.prove(chain)
        return found if isinstance(found, Refusal) else found.peer

    def still(self, proof: Proof) -> Proof | Refusal:
        """Judge again who was accepted by *proof*, by whatever generation."""
        domain = proof.peer.trust_domain if isinstance(proof.peer, SpiffeId) else None
        if self._clock() < proof.until and self.stores.still_has(proof.roots, domain):
            self._due = min(self._due, proof.until)
            return proof
        return self.prove(proof.chain)

    def prove(self, chain: tuple[bytes, ...]) -> Proof | Refusal:
        """Do as `verify` does; what it goes by is given, too."""
        now = self._clock()
        key = _digest(chain)
        known = self._take(key)
        if known is None or now >= known.until:
            verdict = self._look_at(chain, now)
            if isinstance(verdict, Refusal):
                return verdict
            known = verdict
        self._remember(key, known)
        return known

    def _look_at(self, chain: tuple[bytes, ...], now: datetime) -> Proof | Refusal:
        try:
            # What cryptography warns of is the peer's doing, and would fill our log.
            with warnings.catch_warnings(action="ignore"):
                certificates = [*map(x509.load_der_x509_certificate, chain)]
                return self._judge(certificates, now)
        except (ValueError, x509.InvalidVersion) as error:
            # SvidError, and what cryptography says of DER that is none.
            return Refusal(Reason.NOT_AN_SVID, str(error), V_REJECTED)

    def _take(self, key: bytes) -> Proof | None:
        known = self._proofs.pop(key, None)
        if known is not None and self._chains.get(known.chain[0]) is known.chain:
            del self._chains[known.chain[0]]
        return known

    def _remember(self, key: bytes, proof: Proof) -> None:
        if len(self._proofs) >= _REMEMBERED:
            self._take(next(iter(self._proofs)))
        self._proofs[key] = proof
        self._chains[proof.chain[0]] = proof.chain
        self._due = min(self._due, proof.until)

    def take_due(self) -> bool:
        """Tell whether a chain that was accepted may not be now, by its time.

        If so, every chain that still matters is to be verified again: only those count
        from then on.
        """
        if self._clock() < self._due:
            return False
        self._due = _NEVER
        return True

    def chain_of(self, leaf: bytes) -> tuple[bytes, ...]:
        """Give the chain that *leaf* was last accepted with, or itself alone.

        A session ticket keeps no more than the leaf.
        """
        return self._chains.get(leaf, (leaf,))

    def _judge(self, chain: list[x509.Certificate], now: datetime) -> Proof | Refusal:
        leaf, *_ = chain
        if has_spiffe_uri(leaf):
            if NameKind.SPIFFE in self._accept:
                return self._judge_svid(chain, now)
            return self._not_taken("a SPIFFE ID")
        roots = self.stores.names
        if roots is None:
            return self._judge_svid(chain, now)  # says which rule it breaks
        names = CertificateNames.of(leaf)
        peer = accepted_names(names, self._accept)
        if peer is None:
            return self._not_taken(f"the name {names}")
        found = roots.verify(chain, now)
        if isinstance(found, Refusal):
            return found
        return _proof(peer, leaf, found, roots)

    def _not_taken(self, what: str) -> Refusal:
        return Refusal(Reason.NOT_AN_SVID, not_accepted(what, self._accept), V_REJECTED)

    def _judge_svid(
        self, chain: list[x509.Certificate], now: datetime
    ) -> Proof | Refusal:
        spiffe_id = leaf_spiffe_id(chain[0])
        roots = self.stores.of(spiffe_id.trust_domain)
        if roots is None:
            detail = unknown_trust_domain(spiffe_id)
            return Refusal(Reason.UNKNOWN_TRUST_DOMAIN, detail, V_NO_ISSUER)
        found = roots.verify(chain, now)
        if isinstance(found, Refusal):
            return found
        for issuer in found.issuers:
            try:
                check_signing_certificate(issuer, spiffe_id.trust_domain)
            except SvidError as error:
                return Refusal(Reason.UNTRUSTED_CHAIN, str(error), V_REJECTED)
        return _proof(spiffe_id, chain[0], found, roots)


def _proof(peer: Peer, leaf: x509.Certificate, found: Verified, roots: Roots) -> Proof:
    chain = tuple(each.public_bytes(Encoding.DER) for each in (leaf, *found.issuers))
    return Proof(peer, chain, found.until, roots)


def _digest(chain: tuple[bytes, ...]) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    for each in chain:
        digest.update(len(each).to_bytes(4, "big"))
        digest.update(each)
    return digest.finalize()


@define
class PeerCheck:
    """The `openssl_binding.Judge` of one connection: its verdict and what it found."""

    verifier: Verifier
    expected: PeerSet | None = None
    """Whom an outbound route expects; None where a policy will decide."""
    required: bool = True
    """Whether a handshake counts only with a peer."""
    peer: Peer | None = None
    refusal: Refusal | None = None
    chain: tuple[bytes, ...] = ()
    """What the peer was judged by."""
    proof: Proof | None = None
    """What it was accepted by, last of all."""

    @property
    def accepted(self) -> bool:
        """Whether the verdict has been given, and was to accept."""
        return self.peer is not None

    def verdict(self, chain: tuple[bytes, ...]) -> int:
        """Judge the whole chain, then whether it is the peer that was expected."""
        code = self._judge(chain)
        if self.refusal is not None:
            self.refusal = self.refusal.suspecting_clocks(self.verifier.skew)
        return code

    def _judge(self, chain: tuple[bytes, ...]) -> int:
        proof = self.verifier.prove(chain)
        if isinstance(proof, Refusal):
            return self._refuse(proof)
        if self.expected is not None and not self.expected.matches(proof.peer):
            detail = f"{proof.peer} is not one of the route's peers"
            return self._refuse(
                Refusal(Reason.UNEXPECTED_PEER, detail, V_HOSTNAME_MISMATCH)
            )
        self.peer, self.chain, self.proof = proof.peer, proof.chain, proof
        return V_OK

    def again(self, leaf: bytes | None) -> None:
        """Judge a peer whose session is resumed as if it had shown its chain anew.

        OpenSSL asks nothing then. *leaf* is what the session says of the peer; where
        we are the client, the whole chain was kept with it.
        """
        if not self.chain and leaf is not None:
            self.chain = self.verifier.chain_of(leaf)
        if self.chain:
            self._judge(self.chain)  # it was good when it was shown: no clock is wrong

    def fault(self, code: int, depth: int) -> int:
        """Refuse; but not for the time of an issuer that the verdict did not need."""
        if self.accepted and depth and code in _OF_TIME:
            return V_OK
        refusal = refusal_of(code, depth)
        if depth == 0 and code == V_INVALID_PURPOSE:
            refusal = Refusal(Reason.NOT_AN_SVID, refusal.detail, code)
        return self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> int:
        self.peer, self.refusal = None, refusal
        return refusal.code


def utc_now() -> datetime:
    """Read the clock that certificates go by."""
    return datetime.now(UTC)
