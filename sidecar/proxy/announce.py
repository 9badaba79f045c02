"""Telling the application who calls, in the first bytes that it reads.

Its connection comes from the sidecar, so the caller's address and identity are not
in it. On ports with ``proxy_protocol`` they come in a header of the PROXY protocol,
sent as soon as the application is dialled: one that speaks first waits for nothing.
The header is ours, and is not counted among the caller's bytes.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Final

import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sidecar.config.model import ORIGINAL, ProxyProtocol
from sidecar.identity.reading import SvidError, read_subject
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.net.addr import endpoint_of
from sidecar.proxy.outcome import Refused
from sidecar.proxy.proxy_protocol import TlsFacts, encode
from sidecar.telemetry.labels import Outcome
from sidecar.tls.handshake import send_all

if TYPE_CHECKING:
    import socket

    from OpenSSL import SSL

    from sidecar.config.model import Listener
    from sidecar.proxy.connection import Connection
    from sidecar.tls.handshake import TlsSession

# By OpenSSL's short names, which are those that HAProxy writes.
_SIGNATURES: Final = {
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
    "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "1.2.840.113549.1.1.10": "RSASSA-PSS",
    "1.2.840.113549.1.1.11": "RSA-SHA256",
    "1.2.840.113549.1.1.12": "RSA-SHA384",
    "1.2.840.113549.1.1.13": "RSA-SHA512",
    "1.3.101.112": "ED25519",
    "1.3.101.113": "ED448",
}


def header_of(
    client: socket.socket,
    listener: Listener,
    connection: Connection,
    told: ProxyProtocol,
) -> bytes:
    """Write what the application is *told* of *client*, which came in at *listener*.

    The destination is the one that the caller asked for: where a redirected connection
    was going, or the address at which it was accepted.
    """
    if told is ProxyProtocol.NONE:
        return b""
    destination = connection.destination
    if destination is None or listener.destination != ORIGINAL:
        destination = endpoint_of(client.getsockname())
    session = connection.session if told is ProxyProtocol.TLS else None
    facts = None if session is None else _facts(session)
    return encode(connection.source, destination, facts)


async def announce(upstream: socket.socket, header: bytes, seconds: float) -> None:
    """Send *header* to the application, within *seconds*.

    Raises:
        Refused: The application went away, or takes nothing; *upstream* is closed.

    Cancellation:
        *upstream* is closed.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(upstream.close)
        try:
            with trio.fail_after(seconds):
                await send_all(upstream, header)
        except OSError as error:
            raise Refused(Outcome.RESET_BY_UPSTREAM, str(error)) from None
        except trio.TooSlowError:
            detail = f"it took no header in {seconds:g} seconds"
            raise Refused(Outcome.UPSTREAM_TIMEOUT, detail) from None
        stack.pop_all()


def _facts(session: TlsSession) -> TlsFacts:
    tls, peer = session.connection, session.peer
    signature, key = _own_algorithms(tls)
    return TlsFacts(
        version=tls.get_protocol_version_name(),
        cipher=tls.get_cipher_name() or "",
        resumed=session.resumed,
        alpn=tls.get_alpn_proto_negotiated(),
        group=tls.get_group_name(),
        signature_algorithm=signature,
        key_algorithm=key,
        common_name=_common_name(session.check.chain[0]),
        spiffe_id=str(peer) if isinstance(peer, SpiffeId) else None,
    )


def _own_algorithms(tls: SSL.Connection) -> tuple[str | None, str | None]:
    """Name what signed the certificate that we showed, and the kind of its key."""
    own = tls.get_certificate(as_cryptography=True)
    if own is None:
        return None, None
    key, kind = own.public_key(), None
    if isinstance(key, rsa.RSAPublicKey):
        kind = f"RSA{key.key_size}"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        kind = f"EC{key.key_size}"
    return _SIGNATURES.get(own.signature_algorithm_oid.dotted_string), kind


def _common_name(leaf: bytes) -> str | None:
    """Read the subject of a peer's certificate (DER); None if it has no one name."""
    # What a name that is judged by another one says may be anything (RFC 5280, 4.1.2.6).
    with warnings.catch_warnings(action="ignore"), contextlib.suppress(SvidError):
        subject = read_subject(x509.load_der_x509_certificate(leaf))
        names = subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        if len(names) == 1 and isinstance(names[0].value, str):
            return names[0].value
    return None
