from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given, strategies as st

from bench.load.answers import Answers, request
from bench.unmeasured import Unmeasured


def answer(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@given(
    bodies=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 500), max_size=12),
)
def test_answers_are_counted_however_they_are_cut(
    bodies: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(map(answer, bodies))
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    answers = Answers()
    pieces = [stream[a:b] for a, b in itertools.pairwise(places)]
    assert sum(answers.feed(piece) for piece in pieces) == len(bodies)


def test_an_answer_is_not_complete_before_its_last_byte() -> None:
    stream = answer(b"body")
    for size in range(len(stream)):
        assert Answers().feed(stream[:size]) == 0


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "begins b'HTTP/1.1 502 Bad Gateway'"),
        (b"HTTP/1.0 200 OK\r\n\r\n", "begins b'HTTP/1.0 200 OK'"),
        (b"\x15\x03\x03", "begins"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "no body of a known length"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "no body of a known length"),
        (b"HTTP/1.1 200 " + b"x" * 70_000, "begins"),
    ],
)
def test_what_is_no_good_answer_is_a_failed_request(data: bytes, why: str) -> None:
    with pytest.raises(Unmeasured, match=why):
        Answers().feed(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_answers_or_the_one_documented_error(data: bytes) -> None:
    with contextlib.suppress(Unmeasured):
        assert Answers().feed(data) >= 0


def test_a_request_leaves_the_connection_open() -> None:
    assert request("/small") == b"GET /small HTTP/1.1\r\nHost: bench\r\n\r\n"
