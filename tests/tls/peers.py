"""The other end of a handshake: plain pyOpenSSL, which checks nothing of its own."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from sidecar.certs import blueprint, der
from sidecar.certs.authority import Authority, new_key
from sidecar.certs.blueprint import Blueprint
from sidecar.config.material import Material
from sidecar.config.model import NameKind, Tls
from sidecar.identity.der import elements, split
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.pattern import parse_pattern
from sidecar.policy.peer_index import PeerSet
from sidecar.tls.credentials import Credentials
from sidecar.tls.openssl_binding import (
    WANT_READ,
    BIO_read,
    BIO_write,
    Buffer,
    ERR_clear_error,
    SSL_do_handshake,
    SSL_get_error,
    SSL_read,
    bios,
    take_error,
    waiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sidecar.identity.bundle import TrustBundle
    from sidecar.identity.svid import PrivateKey, Svid

NOW: Final = dt.datetime.now(dt.UTC).replace(microsecond=0)
HOUR: Final = dt.timedelta(hours=1)
SPIFFE: Final = frozenset({NameKind.SPIFFE})

CART: Final = "spiffe://example.org/ns/shop/sa/cart"
API: Final = "spiffe://example.org/ns/shop/sa/api"

ALERT: Final = 1000
"""An alert of the peer is an error of this and its number (ssl.h)."""

DONE: Final = "done"

_BUFFER: Final = Buffer(65536)

# RFC 5758, 3.2 and RFC 3279, 2.2.3.
_ECDSA_WITH_SHA256: Final = bytes.fromhex("2a8648ce3d040302")
_ECDSA_WITH_SHA1: Final = bytes.fromhex("2a8648ce3d0401")


def issue(authority: Authority, name: str = CART, *, now: dt.datetime = NOW) -> Svid:
    """Issue an SVID for the hour from *now* on."""
    return authority.issue(SpiffeId.parse(name), now=now, lifetime=HOUR)


def material(
    svid: Svid,
    *bundles: TrustBundle,
    name_roots: Sequence[x509.Certificate] = (),
    crls: Iterable[x509.CertificateRevocationList] = (),
    accept: frozenset[NameKind] = SPIFFE,
) -> Material:
    return Material(
        svid=svid,
        bundles={each.trust_domain: each for each in bundles},
        name_roots=tuple(name_roots),
        crls=tuple(crls),
        accept=accept,
    )


def credentials(
    authority: Authority, *partners: Authority, tls: Tls | None = None
) -> Credentials:
    """Credentials of the api, which trusts these authorities."""
    bundles = [each.bundle for each in (authority, *partners)]
    return Credentials(material(issue(authority, API), *bundles), tls or Tls())


def expecting(*patterns: str) -> PeerSet:
    return PeerSet(map(parse_pattern, patterns))


def context(
    method: int,
    chain: Sequence[x509.Certificate] = (),
    key: PrivateKey | None = None,
    *,
    version: int | None = None,
) -> SSL.Context:
    """A context that shows *chain* and accepts everything."""
    made = SSL.Context(method)
    made.set_cipher_list(b"DEFAULT:@SECLEVEL=0")  # it may show what nobody should
    if version is not None:
        made.set_max_proto_version(version)
    if chain:
        leaf, *issuers = chain
        made.use_certificate(leaf)
        assert key is not None
        made.use_privatekey(key)
        for each in issuers:
            made.add_extra_chain_cert(each)
    return made


def client(
    chain: Sequence[x509.Certificate] = (),
    key: PrivateKey | None = None,
    *,
    version: int | None = None,
    alpn: Sequence[bytes] = (),
) -> SSL.Connection:
    made = context(SSL.TLS_CLIENT_METHOD, chain, key, version=version)
    connection = SSL.Connection(made, None)
    connection.set_connect_state()
    if alpn:
        connection.set_alpn_protos(list(alpn))
    return connection


def server(
    chain: Sequence[x509.Certificate], key: PrivateKey, *, version: int | None = None
) -> SSL.Connection:
    """A server that asks for a certificate and takes any."""
    made = context(SSL.TLS_SERVER_METHOD, chain, key, version=version)
    made.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    connection = SSL.Connection(made, None)
    connection.set_accept_state()
    return connection


def client_of(svid: Svid, **options: object) -> SSL.Connection:
    return client(svid.chain, svid.private_key, **options)  # type: ignore[arg-type]


def server_of(svid: Svid, **options: object) -> SSL.Connection:
    return server(svid.chain, svid.private_key, **options)  # type: ignore[arg-type]


@frozen
class End:
    """One end in memory, and how far it got: None, `DONE` or OpenSSL's error."""

    connection: SSL.Connection
    outcomes: list[str | int] = field(factory=list)

    @property
    def outcome(self) -> str | int | None:
        """The last one: an alert comes after the handshake of TLS 1.3 is done."""
        return self.outcomes[-1] if self.outcomes else None

    def step(self) -> None:
        """Go on with the handshake, or read what comes after it."""
        ssl, *_ = bios(self.connection)
        if self.outcome not in {None, DONE}:
            return
        ERR_clear_error()
        if self.outcome is None:
            result = SSL_do_handshake(ssl)
        else:
            result = SSL_read(ssl, _BUFFER.pointer, _BUFFER.size)
        if result > 0:
            self.outcomes.append(DONE)
        elif SSL_get_error(ssl, result) != WANT_READ:
            self.outcomes.append(take_error()[0])

    def take(self) -> bytes:
        """Take what it has to send."""
        _, _, out = bios(self.connection)
        taken = b""
        while waiting(out):
            size = BIO_read(out, _BUFFER.pointer, _BUFFER.size)
            taken += bytes(_BUFFER.view[:size])
        return taken

    def give(self, data: bytes) -> None:
        _, into, _ = bios(self.connection)
        BIO_write(into, data, len(data))


def converse(
    one: SSL.Connection, other: SSL.Connection, piece: int | None = None
) -> tuple[End, End]:
    """Let two ends talk until neither has anything to say.

    With *piece* each hears the other in pieces of so many bytes.
    """
    ends = End(one), End(other)
    moving = True
    while moving:
        moving = False
        for end, opposite in (ends, ends[::-1]):
            end.step()
            data = end.take()
            size = piece or len(data) or 1
            for begin in range(0, len(data), size):
                opposite.give(data[begin : begin + size])
                opposite.step()
            moving = moving or bool(data)
    return ends


def named_authority(trust_domain: str, name: str = "CA") -> Authority:
    """A root whose subject says nothing but *name*, so that others may have it too."""
    key = new_key()
    plan = blueprint.signer(
        trust_domain, key.public_key(), name, now=NOW, lifetime=24 * HOUR
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return Authority(trust_domain, (evolve(plan, subject=subject).sign(key),), key)


def leaf_plan(key: PrivateKey, name: str = CART) -> Blueprint:
    return blueprint.leaf(name, key.public_key(), now=NOW, lifetime=HOUR)


def sign_without_identifier(
    plan: Blueprint, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate
) -> x509.Certificate:
    """Sign as *issuer*, without saying which of the keys of that name it was."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(plan.subject)
        .issuer_name(issuer.subject)
        .public_key(plan.public_key)
        .serial_number(plan.serial)
        .not_valid_before(plan.not_before)
        .not_valid_after(plan.not_after)
    )
    for each in plan.extensions:
        builder = builder.add_extension(each.value, each.critical)
    return builder.sign(key, hashes.SHA256())


def plan_of(certificate: x509.Certificate) -> Blueprint:
    """What it says, to be changed and signed again."""
    return Blueprint(
        public_key=certificate.public_key(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        extensions=tuple(certificate.extensions),
        subject=certificate.subject,
    )


def signed_with_sha1(
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    algorithm: bytes = _ECDSA_WITH_SHA1,
) -> x509.Certificate:
    """Sign anew what *certificate* says, with SHA-1, and call it *algorithm*."""
    _, content, _ = split(certificate.tbs_certificate_bytes)
    identifier = der.encode(der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, algorithm))
    fields = [
        identifier if field.endswith(_ECDSA_WITH_SHA256) else field
        for field in elements(content)
    ]
    tbs = der.encode(der.SEQUENCE, *fields)
    digest = hashlib.sha1(tbs, usedforsecurity=False).digest()
    signature = key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA1())))
    bits = der.encode(der.BIT_STRING, b"\0", signature)
    return x509.load_der_x509_certificate(
        der.encode(der.SEQUENCE, tbs, identifier, bits)
    )


def revoke(
    authority: Authority,
    *revoked: x509.Certificate,
    begin: dt.datetime = NOW - HOUR,
    end: dt.datetime = NOW + HOUR,
    identified: bool = True,
) -> x509.CertificateRevocationList:
    """Sign a list; one that is not *identified* says not with which key."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(begin)
        .next_update(end)
    )
    if identified:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                authority.private_key.public_key()
            ),
            critical=False,
        )
    for each in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder(each.serial_number, begin).build()
        )
    return builder.sign(authority.private_key, hashes.SHA256())
