"""PEM text of what we made."""

from __future__ import annotations

from sidecar.certs.pem import chain_pem, key_pem
from sidecar.identity.private_key import read_private_key
from sidecar.identity.reading import read_pem
from tests.identity import certificates as make


def test_a_chain_is_read_again_in_its_order() -> None:
    chain = (make.leaf(), make.signer())
    assert read_pem(chain_pem(chain)) == chain


def test_a_key_is_read_again() -> None:
    again = read_private_key(key_pem(make.key()))
    assert again.public_key() == make.key().public_key()
