from __future__ import annotations

import json

import pytest

from bench.growth.series import Series, sizes_up_to
from bench.measures import CPU_PER_REQUEST, RSS_MB

SIZES = (10, 100, 1000)


def each(*values: float) -> Series:
    return Series("a request", "connections", CPU_PER_REQUEST, SIZES, values, each=True)


def total(*values: float) -> Series:
    return Series("memory", "connections", RSS_MB, SIZES, values, each=False)


@pytest.mark.parametrize(
    ("series", "exponent"),
    [
        (each(50, 50, 50), 1.0),
        (each(50, 50, 500), 2.0),
        (each(50, 500, 500), 1.0),
        (total(1, 10, 100), 1.0),
        (total(1, 100, 10_000), 2.0),
        (total(50, 50, 50), 0.0),
    ],
)
def test_the_power_is_that_of_all_items_between_the_last_two_sizes(
    series: Series, exponent: float
) -> None:
    assert series.exponent == pytest.approx(exponent)


def test_a_little_more_for_each_of_ten_times_as_many_is_still_linear() -> None:
    assert each(50, 50, 60).is_linear
    assert each(50, 50, 60).verdict() == "at most linear (n^1.08)"


def test_twice_as_much_for_each_of_ten_times_as_many_is_not() -> None:
    assert not each(50, 50, 100).is_linear
    assert each(50, 50, 100).verdict() == "WORSE THAN LINEAR (n^1.30)"


def test_a_quadratic_term_shows_beside_a_large_constant() -> None:
    assert not total(100, 100.01 + 1, 100 + 10_000).is_linear


def test_a_row_has_a_figure_for_each_size() -> None:
    assert each(50, 51, 52.25).row() == [
        "a request",
        "CPU µs per request",
        "50.0",
        "51.0",
        "52.2",
        "at most linear (n^1.01)",
    ]


def test_the_verdict_is_in_the_json() -> None:
    value = json.loads(json.dumps(total(1, 2, 3).as_json()))
    assert (value["sizes"], value["values"]) == ([10, 100, 1000], [1, 2, 3])
    assert value["linear"] is True


def test_sizes_that_the_system_does_not_allow_become_the_most_that_it_does() -> None:
    assert sizes_up_to(9_000, (10, 100, 10_000)) == (10, 100, 9_000)
    assert sizes_up_to(50, (10, 100, 1_000)) == (10, 50)
    assert sizes_up_to(100, (10, 100)) == (10, 100)
