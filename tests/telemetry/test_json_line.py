from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from sidecar.telemetry.json_line import LINE_BYTES, Scalar, encode, rfc3339

any_text = st.text(st.characters(exclude_categories=()), max_size=3000)
any_fields = st.dictionaries(
    any_text, any_text | st.integers() | st.booleans() | st.none(), max_size=30
)


@given(any_fields)
def test_anything_is_one_short_line_of_plain_ascii(fields: dict[str, Scalar]) -> None:
    line = encode(fields)
    assert len(line) <= LINE_BYTES
    assert line.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in line[:-1])


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=60), max_size=4))
def test_what_fits_comes_back_as_it_was(fields: dict[str, Scalar]) -> None:
    assert json.loads(encode(fields)) == fields


@given(any_fields)
def test_any_line_is_an_object_of_known_fields(fields: dict[str, Scalar]) -> None:
    read = json.loads(encode(fields))
    assert list(read) == list(fields)[: len(read)]


@pytest.mark.parametrize(
    "text",
    ["\x1b[2J", '"}\n{"forged": true}', "\r", "\x7f", "\x9b31m", "\u2028", "\ud800"],
)
def test_no_text_escapes_from_its_line(text: str) -> None:
    line = encode({"peer": text})
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert line.strip().decode().isprintable()
    assert json.loads(line) == {"peer": text}


def test_a_long_text_loses_its_middle_and_the_rest_stays() -> None:
    long = "spiffe://" + "x" * 9000 + "/sa/api"
    read = json.loads(encode({"rule": "web", "peer": long, "sent": 3}))
    assert read["rule"] == "web"
    assert read["sent"] == 3
    assert read["peer"].startswith("spiffe://xxx")
    assert read["peer"].endswith("xxx/sa/api")
    assert "..." in read["peer"]
    assert len(read["peer"]) > 2900


def test_many_long_texts_are_all_shortened() -> None:
    fields = {f"field{n}": "\U0001f600" * 500 for n in range(20)}
    assert list(json.loads(encode(fields))) == list(fields)


def test_too_many_fields_lose_the_last_ones() -> None:
    fields: dict[str, Scalar] = {f"field{n}": n for n in range(2000)}
    read = json.loads(encode(fields))
    assert read["field0"] == 0
    assert len(read) < 2000


def test_a_name_that_does_not_fit_is_left_out() -> None:
    assert encode({"x" * 5000: 1}) == b"{}\n"


@pytest.mark.parametrize("size", [LINE_BYTES - 1, LINE_BYTES])
def test_a_line_may_be_as_long_as_the_limit(size: int) -> None:
    text = "x" * (size - len(encode({"a": ""})))
    assert encode({"a": text}) == b'{"a":"%b"}\n' % text.encode()


def test_time_is_utc_with_milliseconds() -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    assert rfc3339(when) == "2026-01-02T03:04:05.678Z"
    assert rfc3339(when.replace(microsecond=0)) == "2026-01-02T03:04:05.000Z"
