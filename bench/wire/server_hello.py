"""The ServerHello: which version, group and cipher, and whether a session resumed.

It is the one message of a TLS 1.3 handshake that says so in the clear (RFC 8446,
4.1.3), so nobody's own account has to be believed.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

_HANDSHAKE: Final = 22
_SERVER_HELLO: Final = 2

_PRE_SHARED_KEY: Final = 41
_SUPPORTED_VERSIONS: Final = 43
_KEY_SHARE: Final = 51

_VERSIONS: Final = {0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
_GROUPS: Final = {
    0x0017: "P-256",
    0x0018: "P-384",
    0x001D: "X25519",
    0x11EB: "SecP256r1MLKEM768",
    0x11EC: "X25519MLKEM768",
}
_CIPHERS: Final = {
    0x1301: "AES-128-GCM",
    0x1302: "AES-256-GCM",
    0x1303: "ChaCha20-Poly1305",
}

# RFC 8446, 4.1.3: a HelloRetryRequest is a ServerHello with this as its random.
_RETRY: Final = bytes.fromhex(
    "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"
)


class ServerHelloError(ValueError):
    """What the server sent first is no ServerHello, or not all of one."""


@frozen
class ServerHello:
    """What the server chose."""

    version: str
    group: str
    cipher: str
    resumed: bool
    retry: bool
    """The client has to try again with another group: a round trip more."""


def parse(data: bytes) -> ServerHello:
    """Parse the first bytes that a server sent.

    Raises:
        ServerHelloError: They are no ServerHello, or not all of one.
    """
    try:
        return _parse(data)
    except IndexError:
        raise ServerHelloError("must be whole, got a part") from None


def _parse(data: bytes) -> ServerHello:
    if data[0] != _HANDSHAKE or data[5] != _SERVER_HELLO:
        raise ServerHelloError(f"must be a ServerHello, got {data[:6].hex()}")
    random = data[11:43]
    after = 44 + data[43]  # legacy_session_id_echo
    cipher = _number(data, after)
    extensions = _extensions(data, after + 3)
    version = extensions.get(_SUPPORTED_VERSIONS, data[9:11])
    share = extensions.get(_KEY_SHARE)
    return ServerHello(
        _name(_VERSIONS, _number(version, 0)),
        _name(_GROUPS, _number(share, 0)) if share is not None else "none",
        _name(_CIPHERS, cipher),
        resumed=_PRE_SHARED_KEY in extensions,
        retry=random == _RETRY,
    )


def _extensions(data: bytes, start: int) -> dict[int, bytes]:
    found = {}
    at, end = start + 2, start + 2 + _number(data, start)
    while at < end:
        kind, size = _number(data, at), _number(data, at + 2)
        if at + 4 + size > len(data):
            raise IndexError(at)
        found[kind] = data[at + 4 : at + 4 + size]
        at += 4 + size
    return found


def _number(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def _name(names: dict[int, str], number: int) -> str:
    return names.get(number, f"0x{number:04x}")
