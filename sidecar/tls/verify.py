"""The verdict on a peer's certificates, given inside the handshake.

OpenSSL walks the chain without any root, and asks. A `Verifier` first reads whose
certificate it is, then verifies the chain against that trust domain alone. What is
found is remembered for as long as the certificates are valid and the generation
lives: a peer that comes again costs a look-up, and nothing is skipped by it, for
the answer could not have changed.
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
from sidecar.tls.chain import Roots, Verified, has_signed, refusal_of
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

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.config.material import Trust
    from sidecar.identity.peer import Peer
    from sidecar.policy.peer_index import PeerSet

# Some 2 KiB each, whatever else a peer shows. Full, it forgets who was away longest.
_REMEMBERED: Final = 2048

_NEVER: Final = datetime.max.replace(tzinfo=UTC)

_OF_TIME: Final = frozenset({V_EXPIRED, V_NOT_YET_VALID})


@frozen
class _Accepted:
    peer: Peer
    chain: tuple[bytes, ...]
    """The leaf and the issuers that were needed, without what was shown beside them."""
    until: datetime
    """The first moment at which one of them ends, or their root, or a list."""


class Verifier:
    """Judges chains for one generation of trust; clocks may differ by *skew*."""

    def __init__(
        self,
        material: Trust,
        clock: Callable[[], datetime],
        skew: timedelta = timedelta(0),
    ) -> None:
        self.skew = skew
        self._accept = material.accept
        self._spiffe_roots = {
            name: Roots(bundle.roots, _lists_for(bundle.roots, material))
            for name, bundle in material.bundles.items()
        }
        named = material.name_roots
        self._name_roots = Roots(named, _lists_for(named, material)) if named else None
        self._clock = clock
        self._due = _NEVER
        self._accepted: dict[bytes, _Accepted] = {}
        self._chains: dict[bytes, tuple[bytes, ...]] = {}

    def verify(self, chain: tuple[bytes, ...]) -> Peer | Refusal:
        """Say whose *chain* (DER, leaf first) it is, or why it is refused.

        Whatever the bytes, it gives one or the other and raises nothing.
        """
        now = self._clock()
        key = _digest(chain)
        known = self._take(key)
        if known is None or now >= known.until:
            verdict = self._look_at(chain, now)
            if isinstance(verdict, Refusal):
                return verdict
            known = verdict
        self._remember(key, known)
        return known.peer

    def _look_at(self, chain: tuple[bytes, ...], now: datetime) -> _Accepted | Refusal:
        try:
            # What cryptography warns of is the peer's doing, and would fill our log.
            with warnings.catch_warnings(action="ignore"):
                certificates = [*map(x509.load_der_x509_certificate, chain)]
                return self._judge(certificates, now)
        except (ValueError, x509.InvalidVersion) as error:
            # SvidError, and what cryptography says of DER that is none.
            return Refusal(Reason.NOT_AN_SVID, str(error), V_REJECTED)

    def _take(self, key: bytes) -> _Accepted | None:
        known = self._accepted.pop(key, None)
        if known is not None and self._chains.get(known.chain[0]) is known.chain:
            del self._chains[known.chain[0]]
        return known

    def _remember(self, key: bytes, accepted: _Accepted) -> None:
        if len(self._accepted) >= _REMEMBERED:
            self._take(next(iter(self._accepted)))
        self._accepted[key] = accepted
        self._chains[accepted.chain[0]] = accepted.chain
        self._due = min(self._due, accepted.until)

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

    def _judge(
        self, chain: list[x509.Certificate], now: datetime
    ) -> _Accepted | Refusal:
        leaf, *_ = chain
        if has_spiffe_uri(leaf):
            if NameKind.SPIFFE in self._accept:
                return self._judge_svid(chain, now)
            return self._not_taken("a SPIFFE ID")
        if self._name_roots is None:
            return self._judge_svid(chain, now)  # says which rule it breaks
        names = CertificateNames.of(leaf)
        peer = accepted_names(names, self._accept)
        if peer is None:
            return self._not_taken(f"the name {names}")
        found = self._name_roots.verify(chain, now)
        return found if isinstance(found, Refusal) else _accepted(peer, leaf, found)

    def _not_taken(self, what: str) -> Refusal:
        return Refusal(Reason.NOT_AN_SVID, not_accepted(what, self._accept), V_REJECTED)

    def _judge_svid(
        self, chain: list[x509.Certificate], now: datetime
    ) -> _Accepted | Refusal:
        spiffe_id = leaf_spiffe_id(chain[0])
        roots = self._spiffe_roots.get(spiffe_id.trust_domain)
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
        return _accepted(spiffe_id, chain[0], found)


def _accepted(peer: Peer, leaf: x509.Certificate, found: Verified) -> _Accepted:
    chain = tuple(each.public_bytes(Encoding.DER) for each in (leaf, *found.issuers))
    return _Accepted(peer, chain, found.until)


def _digest(chain: tuple[bytes, ...]) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    for each in chain:
        digest.update(len(each).to_bytes(4, "big"))
        digest.update(each)
    return digest.finalize()


def _lists_for(
    roots: tuple[x509.Certificate, ...], material: Trust
) -> list[x509.CertificateRevocationList]:
    """Choose the lists of *material* that may concern a chain to *roots*.

    All but those that the root of another domain signed: it may have the same name.
    The CA of a list that no root signed may be part of any chain.
    """
    everybody = [*material.name_roots]
    for bundle in material.bundles.values():
        everybody += bundle.roots
    return [
        each
        for each in material.crls
        if has_signed(roots, each) or not has_signed(everybody, each)
    ]


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
        peer = self.verifier.verify(chain)
        if isinstance(peer, Refusal):
            return self._refuse(peer)
        if self.expected is not None and not self.expected.matches(peer):
            detail = f"{peer} is not one of the route's peers"
            return self._refuse(
                Refusal(Reason.UNEXPECTED_PEER, detail, V_HOSTNAME_MISMATCH)
            )
        self.peer, self.chain = peer, self.verifier.chain_of(chain[0])
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
