"""Just enough DER."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sidecar.certs.der import BIT_STRING, SEQUENCE, elements, encode, sign, split
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


@given(st.integers(0, 255), st.binary(max_size=300), st.binary(max_size=9))
def test_what_is_encoded_splits_into_the_same(
    tag: int, content: bytes, rest: bytes
) -> None:
    assert split(encode(tag, content) + rest) == (tag, content, rest)


@given(st.lists(st.binary(max_size=200).map(lambda c: encode(SEQUENCE, c))))
def test_elements_are_found_whole(parts: list[bytes]) -> None:
    assert elements(b"".join(parts)) == parts


@given(st.binary(max_size=200))
def test_any_bytes_are_elements_or_a_value_error(data: bytes) -> None:
    try:
        found = elements(data)
    except ValueError:
        return
    assert b"".join(found) == data


@pytest.mark.parametrize("data", ["", "30", "3001", "3080", "308101", "30820100"])
def test_a_part_of_an_element_is_a_value_error(data: str) -> None:
    with pytest.raises(ValueError, match="must be whole"):
        split(bytes.fromhex(data))


def test_a_signed_part_becomes_a_certificate_that_verifies() -> None:
    original = make.leaf()
    again = sign(original.tbs_certificate_bytes, make.key())
    assert again.tbs_certificate_bytes == original.tbs_certificate_bytes
    again.verify_directly_issued_by(again)
