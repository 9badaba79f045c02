from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from sidecar.injector.model import Resources
from sidecar.injector.quantity import parse_quantity, too_much


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("0.5", Decimal("0.5")),
        ("50m", Decimal("0.05")),
        ("2k", 2000),
        ("1M", 10**6),
        ("1Ki", 1024),
        ("64Mi", 64 * 2**20),
        ("1.5Gi", 3 * 2**29),
        ("1E", 10**18),
        ("1Ei", 2**60),
    ],
)
def test_a_quantity_is_the_number_that_kubernetes_takes_it_for(
    text: str, value: Decimal | int
) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "0", "0m", "-1", "64MB", "64 Mi", "1e3", "Mi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a quantity"):
        parse_quantity(text)


@given(st.text())
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    try:
        value = parse_quantity(text)
    except ValueError:
        return
    assert value > 0


def test_a_request_beyond_its_limit_is_found() -> None:
    assert [*too_much(Resources("1", "1Gi", "500m", "512Mi"))] == [
        ("cpu", "a request is at most the limit, 500m, got '1'"),
        ("memory", "a request is at most the limit, 512Mi, got '1Gi'"),
    ]
    assert [*too_much(Resources("1", "1Gi", "1000m", "1024Mi"))] == []
    assert [*too_much(Resources("1", None, None, "1Mi"))] == []
