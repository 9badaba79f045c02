"""The header that tells an application who calls: PROXY protocol, version 2.

Section numbers are those of the specification, HAProxy's `doc/proxy-protocol.txt`.
Pure: values in, bytes out.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.config.model import Endpoint

# 2.2: the signature, then version 2 and the command PROXY.
_OPENING: Final = b"\r\n\r\n\0\r\nQUIT\n" + b"\x21"
_TCP_OVER_IPV4: Final = 0x11
_TCP_OVER_IPV6: Final = 0x21

_ALPN: Final = 0x01
_SSL: Final = 0x20
_SSL_VERSION: Final = 0x21
_SSL_CN: Final = 0x22
_SSL_CIPHER: Final = 0x23
_SSL_SIG_ALG: Final = 0x24
_SSL_KEY_ALG: Final = 0x25
_SSL_GROUP: Final = 0x26
# Not of the specification, which asks for 0xE0 to 0xEF; but it is where Istio's ztunnel
# puts the identity of the source (src/proxy.rs, PROXY_PROTOCOL_AUTHORITY_TLV), so
# whoever reads that reads ours.
_SPIFFE_ID: Final = 0xD0

# The bits of pp2_tlv_ssl.client (2.2.6).
_CLIENT_SSL: Final = 0x01
_CLIENT_CERT_CONN: Final = 0x02
_CLIENT_CERT_SESS: Final = 0x04
_VERIFIED: Final = 0

# A SPIFFE ID has at most so many bytes (SPIFFE-ID, 2.3), and no name needs more. All
# values of a header together stay far below the 65535 bytes that it may have.
_LONGEST: Final = 2048


@frozen
class TlsFacts:
    """What is told of a TLS connection whose peer has been verified.

    Attributes:
        version: As OpenSSL and HAProxy write it: ``TLSv1.3``.
        cipher: The name of the cipher suite.
        resumed: The certificate was shown earlier in the session, not on this
            connection.
        alpn: The protocol that was agreed on; empty for none.
        group: The name of the key exchange.
        signature_algorithm: What signed *our* certificate: ``ecdsa-with-SHA256``.
        key_algorithm: The kind and size of *our* key: ``EC256``.
        common_name: That of the peer's subject.
        spiffe_id: The peer's.
    """

    version: str
    cipher: str
    resumed: bool = False
    alpn: bytes = b""
    group: str | None = None
    signature_algorithm: str | None = None
    key_algorithm: str | None = None
    common_name: str | None = None
    spiffe_id: str | None = None


def encode(
    source: Endpoint, destination: Endpoint, tls: TlsFacts | None = None
) -> bytes:
    """Write the header of a TCP connection from *source* to *destination*.

    Their hosts are IP literals; IPv4 in IPv6 clothes is written as IPv4. *tls* is None
    for a peer without TLS, and for an application that wants the addresses alone. A
    text is left out where it is empty, longer than 2048 bytes, or has characters that
    do not print: cut or cleaned it would be the name of somebody else.

    No checksum (2.2.3): the header goes over loopback, where TCP's own is enough.
    """
    family, addresses = _addresses(source, destination)
    body = addresses + (b"" if tls is None else b"".join(_values(tls)))
    return _OPENING + struct.pack("!BH", family, len(body)) + body


def _addresses(source: Endpoint, destination: Endpoint) -> tuple[int, bytes]:
    ends = _plain(source.host), _plain(destination.host)
    family = _TCP_OVER_IPV4
    if {each.version for each in ends} != {4}:
        # One header has one family. As HAProxy does it (make_proxy_line_v2), an IPv4
        # address beside an IPv6 one is written as a mapped one.
        family, ends = _TCP_OVER_IPV6, (_wide(ends[0]), _wide(ends[1]))
    ports = struct.pack("!HH", source.port, destination.port)
    return family, ends[0].packed + ends[1].packed + ports


def _plain(host: str) -> IPv4Address | IPv6Address:
    address = ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _wide(address: IPv4Address | IPv6Address) -> IPv6Address:
    if isinstance(address, IPv6Address):
        return address
    return IPv6Address(f"::ffff:{address}")


def _values(tls: TlsFacts) -> Iterator[bytes]:
    yield _value(_ALPN, tls.alpn)
    yield _value(_SSL, _ssl(tls))
    yield _text(_SPIFFE_ID, tls.spiffe_id)


def _ssl(tls: TlsFacts) -> bytes:
    # CERT_SESS whenever the session's peer showed one, now or before, as HAProxy does.
    client = _CLIENT_SSL | _CLIENT_CERT_SESS
    if not tls.resumed:
        client |= _CLIENT_CERT_CONN
    return struct.pack("!BI", client, _VERIFIED) + b"".join(
        (
            _text(_SSL_VERSION, tls.version),
            _text(_SSL_CN, tls.common_name),
            _text(_SSL_CIPHER, tls.cipher),
            _text(_SSL_SIG_ALG, tls.signature_algorithm),
            _text(_SSL_KEY_ALG, tls.key_algorithm),
            _text(_SSL_GROUP, tls.group),
        )
    )


def _text(kind: int, text: str | None) -> bytes:
    # A surrogate, which UTF-8 has no bytes for, does not print either.
    return _value(kind, text.encode() if text and text.isprintable() else b"")


def _value(kind: int, value: bytes) -> bytes:
    if not 0 < len(value) <= _LONGEST:
        return b""
    return struct.pack("!BH", kind, len(value)) + value
