"""A peer's chain, verified by OpenSSL against one set of roots (RFC 5280, 6).

One store for each trust domain: roots of different domains never meet, so a CA can
sign no name of a domain that is not its own (SPIFFE Trust Domain and Bundle, 5).
A root need not sign itself (X509-SVID 6.1).

Each certificate of the chain is looked for in the revocation list of its issuer. An
issuer without a list revokes nothing; one whose list is out of date, or broken, is
believed nothing more. Envoy and nginx want a list of every CA of the chain as soon as
there is one; the root is often off line and signs none, and their users ask for what
is done here (envoyproxy/envoy#18268).
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve, frozen
from cryptography.exceptions import UnsupportedAlgorithm
from OpenSSL import crypto

from sidecar.telemetry.labels import Reason
from sidecar.tls.openssl_binding import (
    V_EXPIRED,
    V_NO_LIST,
    V_NOT_YET_VALID,
    V_REJECTED,
    V_REVOKED,
    V_WEAK_DIGEST,
    verify_error_text,
)
from sidecar.tls.refusal import Refusal
from sidecar.tls.validity import untimely

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cryptography import x509

# 112 bits, as OpenSSL asks at the security level that TLS has by default: no SHA-1.
# It does not ask it of a chain that it verifies outside a handshake.
_SHORTEST_DIGEST: Final = 224 // 8

# A period has its last second in it, for some releases of OpenSSL to its very end: in
# that second nothing is known for longer than it is asked.
_TO_THE_END: Final = timedelta(seconds=1)

_OF_THE_LEAF = {V_EXPIRED: Reason.EXPIRED, V_NOT_YET_VALID: Reason.NOT_YET_VALID}


def refusal_of(code: int, depth: int) -> Refusal:
    """Name what OpenSSL's error *code* at *depth* (0 is the leaf) means for us."""
    text = verify_error_text(code)
    if code == V_REVOKED:
        return Refusal(Reason.REVOKED, f"{_place(depth)}: {text}", code)
    reason = _OF_THE_LEAF.get(code) if depth == 0 else None
    return Refusal(reason or Reason.UNTRUSTED_CHAIN, f"{_place(depth)}: {text}", code)


def _with_offset(refusal: Refusal, leaf: x509.Certificate, now: datetime) -> Refusal:
    """Say by how much *leaf* is out of its time, if it is refused for that."""
    found = untimely(leaf.not_valid_before_utc, leaf.not_valid_after_utc, now)
    if found is None or refusal.reason is not found.reason:
        return refusal
    return evolve(refusal, detail=f"{_place(0)}: {found.detail}", offset=found.offset)


def _place(depth: int) -> str:
    return "certificate" if depth == 0 else f"issuer {depth} of its chain"


@frozen
class Verified:
    """What a chain that leads to a root went through."""

    issuers: tuple[x509.Certificate, ...]
    """Between the leaf and the root: those that were needed, of those shown."""
    until: datetime
    """The first moment at which this may no longer hold."""


class Roots:
    """The roots of one trust domain, with the revocation lists of its CAs.

    Attributes:
        certificates: The roots.
        lists: The lists.
    """

    def __init__(
        self,
        roots: tuple[x509.Certificate, ...],
        lists: tuple[x509.CertificateRevocationList, ...] = (),
    ) -> None:
        self.certificates = roots
        self.lists = lists
        self._store = _store(roots)
        # Of its own: a search for lists would refuse who has none.
        self._listing = _store(roots) if lists else None
        if self._listing is not None:
            self._listing.set_flags(crypto.X509StoreFlags.CRL_CHECK)
            for each in lists:
                self._listing.add_crl(each)
        self._due = [each.next_update_utc for each in lists if each.next_update_utc]

    def verify(
        self, chain: Sequence[x509.Certificate], now: datetime
    ) -> Verified | Refusal:
        """Verify *chain* (leaf first) as of now, by the clock of the system.

        *now* is only for how long the answer may be kept, and for words.
        """
        try:
            leaf, *shown = (crypto.X509.from_cryptography(each) for each in chain)
            path, unlisted = self._path(leaf, shown)
        except crypto.X509StoreContextError as error:
            code, depth, *_ = error.errors
            return _with_offset(refusal_of(code, depth), chain[0], now)
        except crypto.Error:
            detail = "a certificate that OpenSSL cannot read"
            return Refusal(Reason.UNTRUSTED_CHAIN, detail, V_REJECTED)
        *signed, root = (each.to_cryptography() for each in path)
        for depth, each in enumerate(signed):
            if _is_weak(each):
                return refusal_of(V_WEAK_DIGEST, depth)
        until = min(each.not_valid_after_utc for each in (*signed, root))
        still = now - _TO_THE_END
        until = min([until, *(due for due in self._due if due > still)])
        return self._revoked(path, unlisted) or Verified(tuple(signed[1:]), until)

    def _path(
        self, leaf: crypto.X509, shown: Sequence[crypto.X509]
    ) -> tuple[Sequence[crypto.X509], int]:
        """Find the way to a root, and from where on it is to be looked for in lists.

        Mostly the CA of the leaf has a list, and the leaf is not in it: to see to both
        at once spares a signature.

        Raises:
            X509StoreContextError: There is none.
        """
        if self._listing is not None:
            context = crypto.X509StoreContext(self._listing, leaf, shown)
            with contextlib.suppress(crypto.X509StoreContextError):
                return context.get_verified_chain(), 1
        context = crypto.X509StoreContext(self._store, leaf, shown)
        return context.get_verified_chain(), 0

    def _revoked(self, path: Sequence[crypto.X509], first: int) -> Refusal | None:
        """Look for each certificate of a verified path in its issuer's list."""
        if self._listing is None:
            return None
        for depth in range(first, len(path) - 1):
            rest = path[depth + 1 :]
            context = crypto.X509StoreContext(self._listing, path[depth], rest)
            try:
                context.verify_certificate()
            except crypto.X509StoreContextError as error:
                code, above, *_ = error.errors
                if code != V_NO_LIST:
                    return refusal_of(code, depth + above)
        return None


def _store(roots: Iterable[x509.Certificate]) -> crypto.X509Store:
    store = crypto.X509Store()
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    for root in roots:
        store.add_cert(crypto.X509.from_cryptography(root))
    return store


def _is_weak(certificate: x509.Certificate) -> bool:
    try:
        digest = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return True
    return digest is not None and digest.digest_size < _SHORTEST_DIGEST


def has_signed(
    roots: Iterable[x509.Certificate], crl: x509.CertificateRevocationList
) -> bool:
    """Tell whether *crl* is of one of *roots*, and not just of its name."""
    return any(_is_issuer(root, crl) for root in roots)


def _is_issuer(root: x509.Certificate, crl: x509.CertificateRevocationList) -> bool:
    try:
        key: Any = root.public_key()
        return root.subject == crl.issuer and crl.is_signature_valid(key)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return False  # a key that signs nothing, or a name that does not parse
