from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, strategies as st

from sidecar.policy.near_words import (
    address_text,
    difference,
    listed,
    quoted,
    some,
)
from sidecar.policy.path_trie import Near
from sidecar.policy.scope import comparable


def near(depth: int, *, only: bool) -> Near[int]:
    return Near([1], depth, ("api",), ("cart", "two"), only=only)


@pytest.mark.parametrize(
    ("found", "only", "said"),
    [
        (near(3, only=True), True, "differs only in segment 4: 'api', not 'cart/two'"),
        (near(3, only=True), False, "differs in segment 4: 'api', not 'cart/two'"),
        (
            near(1, only=False),
            True,
            "differs from segment 2 on: 'api', not 'cart/two'",
        ),
        (
            near(0, only=False),
            True,
            "names another path of this trust domain: 'api', not 'cart/two'",
        ),
    ],
)
def test_a_difference_is_told_by_its_segment(
    found: Near[int], only: bool, said: str
) -> None:
    assert difference(found, only=only) == said


def test_the_end_of_a_path_is_called_so() -> None:
    ended = Near([1], 2, ("api",), (), only=False)
    assert difference(ended) == "differs from segment 3 on: 'api', not the end"


@pytest.mark.parametrize(
    ("values", "short", "long"),
    [
        ([80], "80", "port 80"),
        ([80, 443], "443 or 80", "port 443 or 80"),
        ([1, 2, 3, 4], "4 ports", "4 ports"),
        ([], "0 ports", "0 ports"),
    ],
)
def test_a_few_values_are_named_and_many_counted(
    values: list[int], short: str, long: str
) -> None:
    assert some("port", values) == short
    assert listed("port", values) == long


@pytest.mark.parametrize("text", ["10.0.0.7", "2001:db8::1"])
def test_an_address_is_written_as_rules_compare_it(text: str) -> None:
    assert address_text(comparable(ip_address(text))) == text


def test_an_address_of_ipv4_is_written_as_such() -> None:
    assert address_text(comparable(ip_address("::ffff:10.0.0.7"))) == "10.0.0.7"


@given(st.text())
def test_what_is_quoted_is_short_and_on_one_line(text: str) -> None:
    assert len(quoted(text)) <= 65
    assert quoted(text).isprintable()


def test_a_long_text_is_cut_visibly() -> None:
    assert quoted("a" * 61) == f"'{'a' * 60}'..."
    assert quoted("a" * 60) == f"'{'a' * 60}'"
