"""Just enough DER."""

from __future__ import annotations

import pytest

from sidecar.certs.der import BIT_STRING, SEQUENCE, encode, sign
from tests.identity import certificates as make


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "3000"),
        (127, "307f"),
        (128, "308180"),
        (255, "3081ff"),
        (256, "30820100"),
        (65536, "3083010000"),
    ],
)
def test_a_length_has_its_shortest_form(length: int, header: str) -> None:
    """X.690 10.1."""
    assert encode(SEQUENCE, bytes(length)) == bytes.fromhex(header) + bytes(length)


def test_contents_follow_one_another() -> None:
    assert encode(BIT_STRING, b"\x00", b"ab") == b"\x03\x03\x00ab"


def test_a_signed_part_becomes_a_certificate_that_verifies() -> None:
    original = make.leaf()
    again = sign(original.tbs_certificate_bytes, make.key())
    assert again.tbs_certificate_bytes == original.tbs_certificate_bytes
    again.verify_directly_issued_by(again)
