"""The shared buffers are as large as what one event can put in them."""

from __future__ import annotations

import pytest
from OpenSSL import SSL

from sidecar.relay.buffers import CIPHER_IN, CIPHER_OUT, PLAIN
from sidecar.relay.flow import LARGE_READ
from sidecar.tls.openssl_binding import SSL_write, bios, waiting
from tests.relay.relaying import Kind, handshaken


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_one_send_takes_what_one_read_is_encrypted_to(version: int) -> None:
    connection, _ = handshaken(Kind.TLS_DOWNSTREAM, version)
    ssl, _, out = bios(connection)
    assert SSL_write(ssl, PLAIN.pointer, LARGE_READ) == LARGE_READ
    assert LARGE_READ < waiting(out) < CIPHER_OUT.size, "or it takes a second call"


def test_a_read_fits() -> None:
    assert PLAIN.size >= LARGE_READ
    assert CIPHER_IN.size >= LARGE_READ
