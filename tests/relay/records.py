"""TLS 1.3 records made by hand, for what no library will send (RFC 8446, 5 and 7)."""

from __future__ import annotations

import struct
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION_DATA: Final = 23

CLOSE_NOTIFY: Final = bytes([1, 0])
USER_CANCELED: Final = bytes([1, 90])
INTERNAL_ERROR: Final = bytes([2, 80])

KEY_UPDATE: Final = bytes([24, 0, 0, 1, 0])
KEY_UPDATE_REQUESTED: Final = bytes([24, 0, 0, 1, 1])


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446, 7.1)."""
    label = b"tls13 " + label
    info = struct.pack("!HB", length, len(label)) + label + b"\0"
    return HKDFExpand(SHA256(), length, info).derive(secret)


class Records:
    """One direction of a connection with TLS_AES_128_GCM_SHA256."""

    def __init__(self, secret: bytes, sequence: int = 0) -> None:
        """*sequence* is how many records went before under these keys."""
        self._secret = secret
        self._rekey(sequence)

    def _rekey(self, sequence: int) -> None:
        self._aead = AESGCM(_expand(self._secret, b"key", 16))
        self._iv = int.from_bytes(_expand(self._secret, b"iv", 12), "big")
        self._sequence = sequence

    def seal(self, kind: int, content: bytes) -> bytes:
        """Make the next record."""
        header = struct.pack("!BHH", 23, 0x303, len(content) + 1 + 16)
        nonce = (self._iv ^ self._sequence).to_bytes(12, "big")
        self._sequence += 1
        return header + self._aead.encrypt(nonce, content + bytes([kind]), header)

    def key_update(self, *, requested: bool) -> bytes:
        """Announce new keys, and use them from here (RFC 8446, 4.6.3)."""
        record = self.seal(HANDSHAKE, KEY_UPDATE_REQUESTED if requested else KEY_UPDATE)
        self.use_next_keys()
        return record

    def use_next_keys(self) -> None:
        self._secret = _expand(self._secret, b"traffic upd", 32)
        self._rekey(0)
