"""The buffers that all flows of the process share.

One task relays, and an event is handled without awaiting: whatever is in here
belongs to the event at hand and is gone with the next.
"""

from __future__ import annotations

from typing import Final

from sidecar.relay.flow import LARGE_READ
from sidecar.tls.openssl_binding import Buffer

FULL_RECORD: Final = 16384
"""The most that a TLS record holds (RFC 8446, 5.1)."""
# What a TLS record adds to its content: header, content type, tag (RFC 8446, 5.2).
_RECORD_OVERHEAD: Final = 5 + 1 + 16
_RECORDS: Final = LARGE_READ // FULL_RECORD + 1

CIPHER_IN: Final = Buffer(LARGE_READ)
PLAIN: Final = Buffer(LARGE_READ + FULL_RECORD)
"""Holds what one read decrypts to, with the record that it may complete."""
CIPHER_OUT: Final = Buffer(LARGE_READ + _RECORDS * _RECORD_OVERHEAD + 4096)
"""Holds what one read is encrypted to."""
