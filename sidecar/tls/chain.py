"""A peer's chain, verified by OpenSSL against one set of roots (RFC 5280, 6).

One store for each trust domain: roots of different domains never meet, so a CA can
sign no name of a domain that is not its own (SPIFFE Trust Domain and Bundle, 5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen
from OpenSSL import crypto

from sidecar.telemetry.labels import Reason
from sidecar.tls.openssl_binding import (
    V_EXPIRED,
    V_NOT_YET_VALID,
    V_REVOKED,
    verify_error_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cryptography import x509

_OF_THE_LEAF = {V_EXPIRED: Reason.EXPIRED, V_NOT_YET_VALID: Reason.NOT_YET_VALID}


@frozen
class Refusal:
    """Why a peer's certificate is refused, and with which error of OpenSSL."""

    reason: Reason
    detail: str
    code: int


def refusal_of(code: int, depth: int) -> Refusal:
    """Name what OpenSSL's error *code* at *depth* (0 is the leaf) means for us."""
    text = verify_error_text(code)
    if code == V_REVOKED:
        return Refusal(Reason.REVOKED, f"{_place(depth)}: {text}", code)
    reason = _OF_THE_LEAF.get(code) if depth == 0 else None
    return Refusal(reason or Reason.UNTRUSTED_CHAIN, f"{_place(depth)}: {text}", code)


def _place(depth: int) -> str:
    return "certificate" if depth == 0 else f"issuer {depth} of its chain"


class Roots:
    """The roots of one trust domain, with the revocation lists of its CAs."""

    def __init__(
        self,
        roots: Iterable[x509.Certificate],
        crls: Iterable[x509.CertificateRevocationList] = (),
    ) -> None:
        self._store = crypto.X509Store()
        subjects = set()
        for root in roots:
            self._store.add_cert(crypto.X509.from_cryptography(root))
            subjects.add(root.subject)
        listed = [crl for crl in crls if crl.issuer in subjects]
        for crl in listed:
            self._store.add_crl(crl)
        if listed:
            self._store.set_flags(crypto.X509StoreFlags.CRL_CHECK)

    def verify(self, chain: Sequence[x509.Certificate]) -> Refusal | None:
        """Verify *chain* (leaf first) as of now; give None if it leads to a root."""
        leaf, *issuers = (crypto.X509.from_cryptography(each) for each in chain)
        try:
            crypto.X509StoreContext(self._store, leaf, issuers).verify_certificate()
        except crypto.X509StoreContextError as error:
            code, depth, *_ = error.errors
            return refusal_of(code, depth)
        return None
