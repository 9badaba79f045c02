"""Lifetimes as people write them."""

from __future__ import annotations

import contextlib
import datetime as dt

import pytest
from hypothesis import given, strategies as st

from sidecar.certs.lifetime import parse_lifetime


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("90s", 90), ("15m", 900), ("1h", 3600), ("30d", 2_592_000)],
)
def test_a_lifetime_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_lifetime(text) == dt.timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    ["", "1", "h", "1 h", "1H", "-1h", "0h", "1.5h", "1h30m", "1w", "3651d", "٣h"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a number and s, m, h or d"):
        parse_lifetime(text)


def test_ten_years_are_the_longest() -> None:
    assert parse_lifetime("3650d").days == 3650
    with pytest.raises(ValueError, match="at most 3650d"):
        parse_lifetime(f"{3650 * 24 + 1}h")


@given(st.one_of(st.text(), st.from_regex(r"[0-9]+[smhd]", fullmatch=True)))
def test_any_text_is_a_lifetime_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_lifetime(text) > dt.timedelta()
