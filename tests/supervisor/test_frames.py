from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.supervisor.frames import LARGEST, Decoder, FrameError, encode

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
MESSAGES = st.dictionaries(st.text(), VALUES, max_size=3)


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@given(st.lists(MESSAGES, max_size=4), st.integers(1, 50))
def test_what_is_encoded_comes_back_however_it_is_cut(
    messages: list[dict[str, Any]], size: int
) -> None:
    data = b"".join(map(encode, messages))
    decoder = Decoder()
    found: list[dict[str, Any]] = []
    for at in range(0, len(data), size):
        found += decoder.feed(data[at : at + size])
    assert found == messages


@given(MESSAGES)
def test_no_prefix_of_a_frame_is_a_message(message: dict[str, Any]) -> None:
    data = encode(message)
    for end in range(len(data)):
        decoder = Decoder()
        assert list(decoder.feed(data[:end])) == []
        assert list(decoder.feed(data[end:])) == [message]


@given(
    st.binary()
    | st.binary().map(frame)
    | VALUES.map(lambda v: frame(json.dumps(v).encode()))
)
def test_any_bytes_are_messages_or_a_frame_error(data: bytes) -> None:
    with contextlib.suppress(FrameError):
        assert all(isinstance(each, dict) for each in Decoder().feed(data))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ((LARGEST + 1).to_bytes(4, "big"), f"at most {LARGEST} bytes"),
        (frame(b"{"), "JSON"),
        (frame(b"\xff"), "JSON"),
        (frame(b"[" * 100_000), "JSON"),
        (frame(b"1" * 5000), "JSON"),
        (frame(b""), "JSON"),
        (frame(b"[]"), "an object"),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(FrameError, match=why):
        list(Decoder().feed(data))


def test_a_message_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(FrameError, match="at most"):
        encode({"a": "x" * LARGEST})
