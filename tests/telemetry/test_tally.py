from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sidecar.telemetry.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def tally(registry: CollectorRegistry) -> Tally:
    made = Tally()
    registry.register(made)
    return made


@pytest.fixture
def value(registry: CollectorRegistry) -> Callable[[str], float | None]:
    return registry.get_sample_value


def test_whoever_looks_sees_all_that_was_counted(
    registry: CollectorRegistry, tally: Tally, value: Callable[[str], float | None]
) -> None:
    calls = Counter("calls", "help", registry=registry)
    opened = Gauge("opened", "help", registry=registry)
    for looks in range(1, 4):
        for _ in range(5):
            tally.add(calls)
        tally.add(opened, 3)
        tally.add(opened, -1)
        assert value("calls_total") == 5 * looks
        assert value("opened") == 2 * looks


def test_it_shows_nothing_of_its_own(registry: CollectorRegistry, tally: Tally) -> None:
    tally.add(Counter("calls", "help", registry=None))
    assert list(registry.collect()) == []
    assert list(tally.describe()) == []


def test_what_is_observed_falls_into_its_bucket(
    registry: CollectorRegistry, tally: Tally, value: Callable[[str], float | None]
) -> None:
    seconds = Histogram("seconds", "help", registry=registry, buckets=(1, 10))
    for each in (0.5, 5, 50):
        tally.observe(seconds, each)
    assert value("seconds_count") == 3
    assert value("seconds_sum") == 55.5


def test_nobody_looks_for_long_and_memory_stays_bounded(tally: Tally) -> None:
    seconds = Histogram("seconds", "help", registry=None)
    for _ in range(5000):
        tally.observe(seconds, 0.1)
        assert len(tally._observed) < 1024
