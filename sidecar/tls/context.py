"""OpenSSL contexts made from what an operator configured. Frozen once used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from OpenSSL import SSL

from sidecar.tls.openssl_binding import prepare, set_judge

if TYPE_CHECKING:
    from sidecar.config.model import Tls
    from sidecar.identity.svid import Svid

ALPN: Final = b"sidecar-mtls/1"
"""Tells a permissive port that a client means the sidecar, not the application."""

SSL_VERSION: Final = SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode("ascii")
"""The library and its release, as in ``OpenSSL 4.0.3 29 Sep 2026``."""

_VERSIONS: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

# AES-128 first, as Envoy and Go do: enough (RFC 9325, 4.2), and a third less work.
TLS13_CIPHERS: Final = (
    b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
)

# For TLS 1.2, where it is allowed: forward secrecy and AEAD only (RFC 9325, 4.2).
TLS12_CIPHERS: Final = b"ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20"

_OPTIONS: Final = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION

# Of what both know the server's first counts, as with Envoy: OpenSSL's clients have
# AES-256 first. But one that begins with ChaCha20 has no AES in its hardware, and gets
# ChaCha20 (ssl.h, SSL_OP_PRIORITIZE_CHACHA, which pyOpenSSL leaves out).
_OUR_ORDER: Final = SSL.OP_CIPHER_SERVER_PREFERENCE | 0x200000

# A client that keeps a session past the life of the certificate in it is refused until
# it forgets the session, so they do not live long. The keys of the tickets are the
# context's own: a new generation knows none of the old ones.
_SESSION_SECONDS: Final = 300


class CertificateError(Exception):
    """OpenSSL does not take our own certificate; the message says why.

    Attributes:
        identity: Whose it is, of the additional identities; None for the first.
    """

    identity: str | None = None


def _context(method: int, svid: Svid, tls: Tls) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(_VERSIONS[tls.minimum_version])
    context.set_options(_OPTIONS)
    # Sessions are in the tickets (RFC 8446, 4.6.1), not in our memory.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_timeout(_SESSION_SECONDS)
    context.set_tls13_ciphersuites(TLS13_CIPHERS)
    context.set_cipher_list(TLS12_CIPHERS)
    prepare(context, tls.groups)
    leaf, *intermediates = svid.chain
    try:
        context.use_certificate(leaf)
        context.use_privatekey(svid.private_key)
        for each in intermediates:
            context.add_extra_chain_cert(each)
    except SSL.Error as error:
        (*_, reason), *_ = error.args[0]
        raise CertificateError(f"{SSL_VERSION} does not take it: {reason}") from None
    return context


def check_groups(tls: Tls) -> None:
    """Return if OpenSSL knows every group of *tls*.

    Raises:
        ValueError: It does not; the error names the first that is unknown.
    """
    prepare(SSL.Context(SSL.TLS_METHOD), tls.groups)


def _select_alpn(
    _connection: SSL.Connection, offered: list[bytes]
) -> bytes | SSL._NoOverlappingProtocols:
    # A client that offers others is served all the same: it is the application's
    # protocol that they speak of, and that is not ours to choose.
    return ALPN if ALPN in offered else SSL.NO_OVERLAPPING_PROTOCOLS


def server_context(svid: Svid, tls: Tls, *, certificate_required: bool) -> SSL.Context:
    """Make the context of inbound connections.

    Without *certificate_required* a client may come without one, to be told so in
    its own protocol; one that it does show is judged all the same.

    Raises:
        ValueError: OpenSSL does not know a group of *tls*; the error names it.
    """
    context = _context(SSL.TLS_SERVER_METHOD, svid, tls)
    # A context that asks for certificates must name its sessions
    # (SSL_CTX_set_session_id_context(3)): a client may offer one that it kept.
    context.set_session_id(b"sidecar")
    context.set_options(_OUR_ORDER)
    context.set_alpn_select_callback(_select_alpn)
    set_judge(context, required=certificate_required)
    return context


def client_context(svid: Svid, tls: Tls) -> SSL.Context:
    """Make the context of outbound connections.

    Raises:
        ValueError: OpenSSL does not know a group of *tls*; the error names it.
    """
    context = _context(SSL.TLS_CLIENT_METHOD, svid, tls)
    set_judge(context, required=True)
    return context
