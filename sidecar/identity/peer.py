"""Who the other end of a handshake is."""

from __future__ import annotations

from typing import TypeAlias

from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId

Peer: TypeAlias = SpiffeId | CertificateNames
"""An authenticated peer. ``None`` in its place stands for one without a
certificate: plaintext, or TLS that only the server authenticated."""
