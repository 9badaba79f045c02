"""TLS between a flow and a peer that is not ours: plain pyOpenSSL over memory."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
from typing import TYPE_CHECKING

import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from sidecar.tls.openssl_binding import prepare

if TYPE_CHECKING:
    import socket

    from tests.relay.wires import Wire

OURS = SSL.OP_NO_RENEGOTIATION
"""The options of the product's own contexts, as far as they matter here."""

ALL = 1 << 20
"""More than any of these memory BIOs ever holds."""


class Truncated(Exception):
    """TCP ended before TLS did."""


@functools.cache
def _certificate() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def context(
    method: int,
    version: int = SSL.TLS1_3_VERSION,
    *,
    options: int = OURS,
) -> SSL.Context:
    """A context with the modes of the product's own."""
    made = SSL.Context(method)
    made.set_min_proto_version(version)
    made.set_max_proto_version(version)
    made.set_options(options)
    made.set_tls13_ciphersuites(b"TLS_AES_128_GCM_SHA256")
    prepare(made, ())
    certificate, key = _certificate()
    made.use_certificate(certificate)
    made.use_privatekey(key)
    return made


def connections(
    server: SSL.Context, client: SSL.Context
) -> tuple[SSL.Connection, SSL.Connection]:
    """The two ends of a connection to be, the server's first."""
    ends = SSL.Connection(server, None), SSL.Connection(client, None)
    ends[0].set_accept_state()
    ends[1].set_connect_state()
    return ends


def move(source: SSL.Connection, target: SSL.Connection) -> None:
    """Bring *target* what *source* has to say."""
    with contextlib.suppress(SSL.WantReadError):
        target.bio_write(source.bio_read(ALL))


def shake_hands(server: SSL.Connection, client: SSL.Connection) -> None:
    """Finish the handshake. The server's tickets are left in the client's BIO."""
    for _ in range(3):
        for end, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                end.do_handshake()
            move(end, other)


def secrets_of(made: SSL.Context) -> dict[str, bytes]:
    """Collect the secrets of the connections of *made* (SSLKEYLOGFILE's format)."""
    secrets: dict[str, bytes] = {}

    def note(_connection: SSL.Connection, line: bytes) -> None:
        label, _, secret = line.decode("ascii").split()
        secrets[label] = bytes.fromhex(secret)

    made.set_keylog_callback(note)
    return secrets


class TlsWire:
    """A TLS peer, with the methods of `Wire`."""

    def __init__(self, wire: Wire, tls: SSL.Connection) -> None:
        self.wire = wire
        self.tls = tls
        self._order = trio.StrictFIFOLock()

    @property
    def sock(self) -> socket.socket:
        return self.wire.sock

    async def send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            piece = rest[:65536]
            self.tls.sendall(piece)
            rest = rest[len(piece) :]
            await self.flush()

    async def receive(self, limit: int = 65536) -> bytes:
        """Give what is there; nothing is a close_notify.

        Raises:
            Truncated: TCP ended without one.
            SSL.Error: An alert came, or a broken record.
        """
        while True:
            try:
                return self.tls.recv(limit)
            except SSL.ZeroReturnError:
                return b""
            except SSL.WantReadError:
                # A sender that waits for room will send it, and is not waited for.
                if not self._order.locked():
                    await self.flush()
            data = await self.wire.receive()
            if not data:
                raise Truncated
            self.tls.bio_write(data)

    async def end(self) -> None:
        """Send close_notify, and go on receiving."""
        self.tls.shutdown()
        await self.flush()

    async def flush(self) -> None:
        """Send what OpenSSL has made, answers of its own included."""
        async with self._order:
            with contextlib.suppress(SSL.WantReadError):
                await self.wire.send(self.tls.bio_read(ALL))

    def reset(self) -> None:
        self.wire.reset()

    def close(self) -> None:
        self.wire.close()
