"""The authorities that the cases are made with, and what a peer has to trust."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final, Self

from attrs import frozen
from cryptography import x509

from sidecar.certs import blueprint, der
from sidecar.certs.authority import Authority

if TYPE_CHECKING:
    from sidecar.certs.blueprint import Blueprint
    from sidecar.identity.bundle import TrustBundle
    from sidecar.identity.svid import PrivateKey

PARTNER: Final = "partner.test"
STRANGER: Final = "stranger.test"

LIFETIME: Final = dt.timedelta(hours=1)
DAY: Final = dt.timedelta(days=1)


@frozen
class Presented:
    """What a peer shows in the handshake, leaf first, and the key to do it with."""

    chain: tuple[x509.Certificate, ...]
    private_key: PrivateKey

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate that is to name the peer."""
        return self.chain[0]


@frozen
class World:
    """Who signs.

    The endpoint under test trusts `bundles`, each for its own trust domain, and,
    for the cases that say so, `crl`. It knows nothing of the other two authorities.
    """

    now: dt.datetime
    authority: Authority
    """Of the endpoint's own trust domain."""
    partner: Authority
    """Of another trust domain whose bundle the endpoint has."""
    impostor: Authority
    """Of the endpoint's own trust domain by name, and trusted by nobody."""
    stranger: Authority
    """Of a trust domain that the endpoint knows nothing of."""
    revoked_serial: int

    @classmethod
    def around(cls, authority: Authority, *, now: dt.datetime) -> Self:
        """Surround *authority* with the others that the cases need."""
        return cls(
            now=now,
            authority=authority,
            partner=Authority.create(PARTNER, now=now),
            impostor=Authority.create(authority.trust_domain, now=now),
            stranger=Authority.create(STRANGER, now=now),
            revoked_serial=x509.random_serial_number(),
        )

    @property
    def bundles(self) -> tuple[TrustBundle, ...]:
        """What the endpoint trusts."""
        return self.authority.bundle, self.partner.bundle

    def crl(self) -> x509.CertificateRevocationList:
        """List the serial number that the revoked case has."""
        return self.authority.crl([self.revoked_serial], now=self.now)

    @property
    def trust_domain(self) -> str:
        """The endpoint's own."""
        return self.authority.trust_domain

    def id(self, path: str = "/ns/shop/sa/cart") -> str:
        """Return a SPIFFE ID of the endpoint's own trust domain."""
        return f"spiffe://{self.trust_domain}{path}"

    def plan(self, key: PrivateKey, uri: str | None = None) -> Blueprint:
        """Return a good leaf for *uri*, or for the usual SPIFFE ID."""
        return blueprint.leaf(
            self.id() if uri is None else uri,
            key.public_key(),
            now=self.now,
            lifetime=LIFETIME,
        )

    def signer_plan(self, key: PrivateKey, name: str = "intermediate CA") -> Blueprint:
        """Return a good intermediate of the endpoint's own trust domain."""
        return blueprint.signer(
            self.trust_domain, key.public_key(), name, now=self.now, lifetime=DAY
        )

    def resigned(self, tbs: bytes) -> x509.Certificate:
        """Sign whatever that is, as the endpoint's own authority."""
        return der.sign(tbs, self.authority.private_key)
