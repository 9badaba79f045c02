"""The union of names that a peer can have."""

from __future__ import annotations

import typing

from sidecar.identity.names import CertificateNames
from sidecar.identity.peer import Peer
from sidecar.identity.spiffe_id import SpiffeId


def test_a_peer_is_a_spiffe_id_or_the_names_of_a_certificate() -> None:
    assert typing.get_args(Peer) == (SpiffeId, CertificateNames)
