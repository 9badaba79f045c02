"""X.509-SVIDs: the SPIFFE ID of a peer's certificate, and our own chain and key.

The rules are in `sidecar.identity.rules`. Whether a chain leads to a root, whether
it is expired and whether it is revoked is checked by OpenSSL in the handshake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self, TypeAlias

from attrs import field, frozen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sidecar.identity.facts import Facts
from sidecar.identity.names import CertificateNames
from sidecar.identity.reading import SvidError, read_pem
from sidecar.identity.rules import LEAF_RULES, SIGNER_RULES
from sidecar.identity.spiffe_id import SpiffeId, parse_trust_domain_id

if TYPE_CHECKING:
    import datetime as dt

    from cryptography import x509

    from sidecar.identity.peer import Peer

__all__ = [
    "PrivateKey",
    "Svid",
    "SvidError",
    "check_signing_certificate",
    "has_spiffe_uri",
    "leaf_spiffe_id",
]

PrivateKey: TypeAlias = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
"""The keys that can sign a TLS handshake."""

_KINDS: Final = (
    rsa.RSAPrivateKey,
    ec.EllipticCurvePrivateKey,
    ed25519.Ed25519PrivateKey,
    ed448.Ed448PrivateKey,
)


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
            SvidError: The leaf breaks a rule, a file cannot be parsed, or the key
                is not the leaf's. What concerns the key has a code that begins
                with ``private-key``.
        """
        certificates = read_pem(chain)
        private_key = _read_key(key)
        _check_key(private_key, certificates)
        leaf = certificates[0]
        if accept_names and not has_spiffe_uri(leaf):
            return cls(certificates, private_key, CertificateNames.of(leaf))
        return cls(certificates, private_key, leaf_spiffe_id(leaf))

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate that names us."""
        return self.chain[0]

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
        begin, end = self.leaf.not_valid_before_utc, self.leaf.not_valid_after_utc
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


def _read_key(pem: bytes) -> PrivateKey:
    try:
        key = load_pem_private_key(pem, None)
    except TypeError as error:
        raise SvidError(
            "private-key-readable",
            "RFC 7468 11",
            "the private key must not be encrypted, got one that needs a password; "
            "decrypt it with openssl pkey",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        # The library's message may quote the key: it stays out of ours.
        raise SvidError(
            "private-key-readable",
            "RFC 7468 10",
            "must be a private key in PEM, got something else",
        ) from error
    if not isinstance(key, _KINDS):
        raise SvidError(
            "private-key-kind",
            "RFC 8446 4.2.3",
            "the private key must be RSA, EC, Ed25519 or Ed448, "
            f"got {type(key).__name__}",
        )
    return key


def _check_key(key: PrivateKey, chain: tuple[x509.Certificate, ...]) -> None:
    public = key.public_key()
    owners = [n for n, owned in enumerate(chain, 1) if _public_key(owned) == public]
    if 1 in owners:
        return
    got = (
        f"the key of certificate {owners[0]}: put the leaf first"
        if owners
        else "the key of none of them"
    )
    raise SvidError(
        "private-key-belongs",
        "SPIFFE-ID 3.2",
        f"the private key must belong to the first certificate, got {got}",
    )


def _public_key(certificate: x509.Certificate) -> object:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None  # a key of an unknown kind is certainly not ours
