"""Where one element ends and the next begins."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sidecar.certs.der import SEQUENCE, encode
from sidecar.identity.der import elements, split


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
