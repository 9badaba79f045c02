"""X.509-SVIDs: the SPIFFE ID of a peer's certificate, and our own chain and key.

The rules are in `leaf_rules` and `signer_rules`. Whether a chain leads to a root, whether
it is expired and whether it is revoked is checked by OpenSSL in the handshake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from attrs import field, frozen

from sidecar.identity.facts import Facts
from sidecar.identity.leaf_rules import LEAF_RULES
from sidecar.identity.names import CertificateNames
from sidecar.identity.private_key import (
    PrivateKey,
    check_belongs,
    read_private_key,
    read_private_key_der,
)
from sidecar.identity.reading import SvidError, read_der, read_pem
from sidecar.identity.signer_rules import SIGNER_RULES
from sidecar.identity.spiffe_id import SpiffeId, parse_trust_domain_id

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from cryptography import x509

    from sidecar.identity.peer import Peer

__all__ = [
    "PrivateKey",
    "Svid",
    "SvidError",
    "check_signing_certificate",
    "has_spiffe_uri",
    "leaf_spiffe_id",
    "own_name",
]


def leaf_spiffe_id(certificate: x509.Certificate) -> SpiffeId:
    """Return the SPIFFE ID of a workload's certificate.

    The certificate keeps every rule that it can keep by itself; nothing is said
    about who signed it.

    Raises:
        SvidError: It breaks a rule of the X509-SVID standard, or cannot be parsed.
            No other exception escapes, whatever the certificate.
    """
    facts = Facts.of(certificate)
    for rule in LEAF_RULES:
        rule.check(facts)
    return SpiffeId.parse(facts.uris[0])


def has_spiffe_uri(certificate: x509.Certificate) -> bool:
    """Say whether the certificate claims a SPIFFE ID, valid or not.

    One that does must never be taken for a peer known by DNS name or subject.

    Raises:
        SvidError: The certificate cannot be parsed.
    """
    return bool(Facts.of(certificate).spiffe_uris)


def check_signing_certificate(certificate: x509.Certificate, trust_domain: str) -> None:
    """Return if an intermediate or a root may sign SVIDs of *trust_domain*.

    Raises:
        SvidError: It breaks a rule of the X509-SVID standard, or cannot be parsed.
    """
    facts = Facts.of(certificate)
    for rule in SIGNER_RULES:
        rule.check(facts)
    for uri in facts.spiffe_uris:
        found = parse_trust_domain_id(uri)
        if found != trust_domain:
            raise SvidError(
                "signer-trust-domain",
                "X509-SVID 3.2",
                f"a signing certificate with a SPIFFE ID must be of the trust domain "
                f"that it signs for, {trust_domain!r}, got {found!r}",
            )


def own_name(chain: Sequence[x509.Certificate], *, accept_names: bool) -> Peer:
    """Return what peers will read in our own *chain*, the leaf first.

    The others must be able to sign for the leaf's trust domain: no peer that keeps to
    the standard would take the chain. With *accept_names* a leaf that claims no SPIFFE
    ID will do, and then whatever is with it.

    Raises:
        SvidError: A certificate breaks a rule; the message says which, unless it is
            the leaf.
    """
    leaf = chain[0]
    if accept_names and not has_spiffe_uri(leaf):
        return CertificateNames.of(leaf)
    name = leaf_spiffe_id(leaf)
    for number, signer in enumerate(chain[1:], 2):
        try:
            check_signing_certificate(signer, name.trust_domain)
        except SvidError as error:
            raise error.at(f"certificate {number}") from None
    return name


@frozen
class Svid:
    """The certificate chain and the key that we show to our peers.

    Attributes:
        chain: The leaf first, then its intermediates.
        private_key: The leaf's; never printed.
        name: What peers will read: a SPIFFE ID, or the names of a certificate
            that has none.
    """

    chain: tuple[x509.Certificate, ...] = field(repr=False)
    private_key: PrivateKey = field(repr=False, eq=False)
    name: Peer

    @classmethod
    def from_pem(cls, chain: bytes, key: bytes, *, accept_names: bool) -> Self:
        """Read a chain and its key from PEM.

        Args:
            chain: The leaf first, then intermediates.
            key: An unencrypted private key in any of the usual PEM forms.
            accept_names: Whether a leaf that claims no SPIFFE ID will do.

        Raises:
            SvidError: A certificate breaks a rule, a file cannot be parsed, or the
                key is not the leaf's. What concerns the key has a code that begins
                with ``private-key``.
        """
        certificates = read_pem(chain)
        private_key = read_private_key(key)
        check_belongs(private_key, certificates)
        name = own_name(certificates, accept_names=accept_names)
        return cls(certificates, private_key, name)

    @classmethod
    def from_der(cls, chain: bytes, key: bytes) -> Self:
        """Read what a Workload API sends: an X.509-SVID, whatever peers may be.

        Raises:
            SvidError: As for `from_pem`.
        """
        certificates = read_der(chain)
        private_key = read_private_key_der(key)
        check_belongs(private_key, certificates)
        name = own_name(certificates, accept_names=False)
        return cls(certificates, private_key, name)

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate that names us."""
        return self.chain[0]

    @property
    def not_valid_before(self) -> dt.datetime:
        """The first moment of the leaf, in UTC."""
        return self.leaf.not_valid_before_utc

    @property
    def not_valid_after(self) -> dt.datetime:
        """The last moment of the leaf, in UTC."""
        return self.leaf.not_valid_after_utc

    def check_time(self, now: dt.datetime) -> None:
        """Return if the leaf is valid at *now*.

        Raises:
            SvidError: It is expired (code ``expired``), or not valid yet (code
                ``not-yet-valid``).
        """
        clause = "RFC 5280 4.1.2.5"  # both ends belong to the period
        begin, end = self.not_valid_before, self.not_valid_after
        if now < begin:
            raise SvidError(
                "not-yet-valid",
                clause,
                f"must be valid from {now.isoformat()} or before, "
                f"got {begin.isoformat()}",
            )
        if now > end:
            raise SvidError(
                "expired",
                clause,
                f"must be valid until after {now.isoformat()}, got {end.isoformat()}",
            )
