"""A certificate authority for one trust domain, for development and for tests.

It keeps its key in memory and asks nobody who may have which name: enough to try a
mesh, and nothing to run one with. Time comes from outside.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Final, Self

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from sidecar.certs import blueprint
from sidecar.certs.blueprint import BACKDATED, Blueprint
from sidecar.identity.bundle import TrustBundle
from sidecar.identity.facts import Facts
from sidecar.identity.private_key import check_belongs, read_private_key
from sidecar.identity.reading import read_pem
from sidecar.identity.spiffe_id import SpiffeId, parse_trust_domain
from sidecar.identity.svid import Svid, check_signing_certificate

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY: Final = dt.timedelta(days=1)
HOUR: Final = dt.timedelta(hours=1)

_LABEL: Final = "[0-9A-Za-z_]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?"
_DNS_NAME: Final = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
"""RFC 5280 4.2.1.6: in the preferred syntax; `_` is there because names have it."""


class AuthorityError(ValueError):
    """The authority cannot issue that; the message states the rule."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new key on P-256, which every TLS implementation has."""
    return ec.generate_private_key(ec.SECP256R1())


@frozen
class Authority:
    """A CA and its key.

    Attributes:
        trust_domain: What it signs for.
        path: The CA's certificate, then those above it; the last is the root.
        private_key: The CA's, on P-256; never printed.
    """

    trust_domain: str
    path: tuple[x509.Certificate, ...] = field(repr=False)
    private_key: ec.EllipticCurvePrivateKey = field(repr=False, eq=False)

    @classmethod
    def create(
        cls, trust_domain: str, *, now: dt.datetime, lifetime: dt.timedelta = 30 * DAY
    ) -> Self:
        """Make a root for *trust_domain*.

        Raises:
            SpiffeIdError: That is no name of a trust domain.
        """
        parse_trust_domain(trust_domain)
        key = new_key()
        root = blueprint.signer(
            trust_domain,
            key.public_key(),
            "sidecar development CA",
            now=now,
            lifetime=lifetime,
        ).sign(key)
        return cls(trust_domain, (root,), key)

    @classmethod
    def from_pem(cls, certificate: bytes, key: bytes) -> Self:
        """Read a root that `create` made, and its key.

        Raises:
            SvidError: A file cannot be parsed, the key is another's, or the
                certificate may sign for no trust domain.
            AuthorityError: The certificate names none, or the key is no EC key.
        """
        path = read_pem(certificate)
        private_key = read_private_key(key)
        check_belongs(private_key, path)
        uris = Facts.of(path[0]).spiffe_uris
        if not uris:
            raise AuthorityError(
                "CA: must name its trust domain, spiffe://TRUST-DOMAIN, in a URI SAN, "
                "got none"
            )
        trust_domain = uris[0].removeprefix("spiffe://")
        check_signing_certificate(path[0], trust_domain)
        if not isinstance(private_key, ec.EllipticCurvePrivateKey):
            raise AuthorityError("CA: must have an EC key, got another kind")
        return cls(trust_domain, path, private_key)

    @property
    def certificate(self) -> x509.Certificate:
        """The CA's own certificate."""
        return self.path[0]

    @property
    def root(self) -> x509.Certificate:
        """The certificate that peers have to trust."""
        return self.path[-1]

    @property
    def bundle(self) -> TrustBundle:
        """The bundle of the trust domain: its root."""
        return TrustBundle(self.trust_domain, (self.root,))

    def issue(
        self,
        spiffe_id: SpiffeId,
        *,
        now: dt.datetime,
        lifetime: dt.timedelta = HOUR,
        dns: Iterable[str] = (),
    ) -> Svid:
        """Make a key on P-256 and an SVID for it, exactly what the standard asks.

        Args:
            spiffe_id: Of this authority's trust domain.
            now: The SVID begins two minutes before, for peers whose clock is late.
            lifetime: From now; it ends no later than the CA's.
            dns: Names for peers that look for a host name (X509-SVID 2 allows them).

        Raises:
            AuthorityError: The SPIFFE ID is of another trust domain, the CA ends
                earlier, or a DNS name is not one.
        """
        if spiffe_id.trust_domain != self.trust_domain:
            raise AuthorityError(
                f"SPIFFE ID: must be of the trust domain {self.trust_domain!r}, "
                f"got {str(spiffe_id)!r}"
            )
        end = self.certificate.not_valid_after_utc
        if now + lifetime > end:
            raise AuthorityError(
                f"lifetime: must end before the CA does, at {end.isoformat()}, "
                f"got {(now + lifetime).isoformat(timespec='seconds')}"
            )
        key, names = new_key(), tuple(dns)
        try:
            plan = blueprint.leaf(
                str(spiffe_id), key.public_key(), now=now, lifetime=lifetime, dns=names
            )
        except ValueError as error:
            # RFC 5280 4.2.1.6: an IA5String. cryptography takes nothing else.
            raise AuthorityError(f"DNS name: must be of ASCII, got {error}") from error
        for name in names:
            if not _DNS_NAME.fullmatch(name):
                raise AuthorityError(
                    "DNS name: must be labels of letters, digits, '-' and '_' with a "
                    f"dot between each two, got {name!r}"
                )
        return Svid(self.sign(plan), key, spiffe_id)

    def sign(self, plan: Blueprint) -> tuple[x509.Certificate, ...]:
        """Sign *plan* whatever it says, and return the chain that a peer is shown."""
        return (plan.sign(self.private_key, self.certificate), *self.path[:-1])

    def intermediate(
        self, *, now: dt.datetime, lifetime: dt.timedelta = DAY
    ) -> Authority:
        """Make a CA below this one; its chains lead to the same root."""
        key = new_key()
        # Another name than the one above: a certificate whose subject is its issuer
        # does not count for a path length (RFC 5280 4.2.1.9).
        name = f"sidecar development intermediate CA {len(self.path)}"
        plan = blueprint.signer(
            self.trust_domain, key.public_key(), name, now=now, lifetime=lifetime
        )
        return self.below(plan, key)

    def below(self, plan: Blueprint, key: ec.EllipticCurvePrivateKey) -> Authority:
        """Return the owner of *key* as a CA with this certificate, good or bad."""
        signed = plan.sign(self.private_key, self.certificate)
        return Authority(self.trust_domain, (signed, *self.path), key)

    def crl(
        self,
        revoked: Iterable[int],
        *,
        now: dt.datetime,
        lifetime: dt.timedelta = DAY,
    ) -> x509.CertificateRevocationList:
        """Sign a list of the serial numbers that count no more (RFC 5280 5)."""
        begin = now - BACKDATED
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            self.private_key.public_key()
        )
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(begin)
            .next_update(now + lifetime)
            .add_extension(identifier, critical=False)
            # RFC 5280 5.2.3: a later list has a higher number.
            .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        )
        for serial in revoked:
            entry = x509.RevokedCertificateBuilder(serial, begin).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.private_key, hashes.SHA256())
