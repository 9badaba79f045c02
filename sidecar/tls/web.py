"""Contexts of TLS as HTTPS has it, outside the mesh: the webhook and HTTPS probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from OpenSSL import SSL, crypto

from sidecar.tls.context import TLS12_CIPHERS, TLS13_CIPHERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509

    from sidecar.identity.private_key import PrivateKey

_OPTIONS = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION


def web_server_context(
    chain: Sequence[x509.Certificate],
    key: PrivateKey,
    client_roots: Sequence[x509.Certificate] = (),
) -> SSL.Context:
    """Make a server's context for TLS 1.2 and later.

    Args:
        chain: Our certificates, the leaf first.
        key: That of the leaf.
        client_roots: Where there are any, a client has to show a certificate for
            clients that leads to one of them.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_tls13_ciphersuites(TLS13_CIPHERS)
    context.set_cipher_list(TLS12_CIPHERS)
    context.use_certificate(chain[0])
    context.use_privatekey(key)
    for each in chain[1:]:
        context.add_extra_chain_cert(each)
    if client_roots:
        store = context.get_cert_store()
        if store is None:
            raise AssertionError("a context has a store")
        for root in client_roots:
            store.add_cert(crypto.X509.from_cryptography(root))
        context.set_session_id(b"sidecar webhook")
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    return context


def unverified_client_context() -> SSL.Context:
    """Make a client's context that takes any certificate, as the kubelet's probes do.

    A probe learns from it whether the application answers, and tells it nothing that
    is secret.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    # What Go asks for where nobody says otherwise.
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(_OPTIONS)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_alpn_protos([b"http/1.1"])
    return context
