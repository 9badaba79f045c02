from __future__ import annotations

from collections import Counter

import pytest

from bench.guard.counts import (
    FUNCTIONS,
    OWN_FUNCTIONS,
    SYSTEM_CALLS,
    WORKING_CALLS,
    Count,
    Verdict,
    counts,
)
from bench.guard.exercise import CONNECTION, MEGABYTE, REQUEST, Batch


def batches(**called: int) -> list[Batch]:
    return [
        Batch(item, 10, Counter(called)) for item in (REQUEST, MEGABYTE, CONNECTION)
    ]


def value_of(found: list[Count], name: str) -> float:
    return next(count.value for count in found if count.name == name)


def test_waiting_is_left_out_of_one_of_the_counts() -> None:
    found = counts(
        batches(recvfrom=20, sendto=20, epoll_wait=30, epoll_ctl=5),
        [WORKING_CALLS, SYSTEM_CALLS],
    )
    assert value_of(found, "system calls, without epoll's, each request") == 4
    assert value_of(found, "system calls, each request") == 7.5


def test_our_own_functions_are_counted_by_themselves() -> None:
    called = Counter({"sidecar.relay.flow.move": 30, "trio._core.run": 10})
    found = counts(
        [Batch(item, 10, called) for item in (REQUEST, MEGABYTE, CONNECTION)],
        [OWN_FUNCTIONS, FUNCTIONS],
    )
    assert value_of(found, "calls of our functions, each new connection") == 3
    assert value_of(found, "function calls, each new connection") == 4


def test_a_batch_that_was_disturbed_does_not_count() -> None:
    found = counts(
        [*batches(read=40), *batches(read=20, stat=1), *batches(read=90)],
        [SYSTEM_CALLS],
    )
    assert [count.value for count in found] == [2.1, 2.1, 2.1]
    assert found[0].by_name == {"read": 2, "stat": 0.1}


def count(value: float, item: str = REQUEST) -> Count:
    return Count(OWN_FUNCTIONS, item, value, {})


@pytest.mark.parametrize(
    ("value", "limit", "has_grown"),
    [
        (100, 100, False),
        (110, 100, False),
        (111, 100, True),
        (50, 100, False),
        (1000, None, False),
    ],
)
def test_a_count_may_vary_within_its_tolerance(
    value: float, limit: float | None, has_grown: bool
) -> None:
    assert Verdict(count(value), limit).has_grown is has_grown


def test_bulk_may_vary_more() -> None:
    assert not Verdict(count(129, MEGABYTE), 100).has_grown
    assert Verdict(count(131, MEGABYTE), 100).has_grown
