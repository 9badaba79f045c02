from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from bench.compare.summary import Figure, figure, ratios

VALUES = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=9)


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert figure([30, 10, 20]) == Figure(20, 10, 30, 3)
    assert figure([10, 20]) == Figure(15, 10, 20, 2)


def test_the_spread_is_half_the_range_in_proportion_to_the_median() -> None:
    assert figure([90, 100, 130]).spread == pytest.approx(0.2)
    assert figure([5]).spread == 0
    assert figure([0, 0]).spread == 0


@given(VALUES)
def test_a_median_is_within_its_range(values: list[float]) -> None:
    summed = figure(values)
    assert summed.low <= summed.median <= summed.high


def test_ratios_are_of_the_same_round() -> None:
    assert ratios({0: 10, 1: 40}, {0: 20, 1: 20}) == [0.5, 2]


def test_a_round_that_only_one_has_gives_no_ratio() -> None:
    assert ratios({0: 10, 2: 30}, {1: 20, 2: 20}) == [1.5]
    assert ratios({0: 10}, {0: 0}) == []


def test_a_machine_that_slows_down_changes_no_ratio() -> None:
    ours, theirs = {0: 9, 1: 18, 2: 36}, {0: 10, 1: 20, 2: 40}
    assert figure(ratios(ours, theirs)) == Figure(0.9, 0.9, 0.9, 3)
