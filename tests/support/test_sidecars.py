from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from tests.support.sidecars import Samples


@pytest.fixture
def samples() -> Samples:
    registry = CollectorRegistry()
    counter = Counter("calls", "Calls.", ["way", "result"], registry=registry)
    counter.labels("in", "ok").inc(2)
    counter.labels("in", "failed").inc(3)
    counter.labels("out", "ok").inc(5)
    counter.labels("out", "failed")
    return Samples.parse(generate_latest(registry).decode())


def test_samples_add_up_over_the_labels_that_are_not_named(samples: Samples) -> None:
    assert samples["calls_total"] == 10
    assert samples.sum("calls_total", way="in") == 5
    assert samples.sum("calls_total", way="in", result="ok") == 2
    assert samples.sum("calls_total", result="failed", way="out") == 0


def test_a_series_that_does_not_exist_is_not_zero(samples: Samples) -> None:
    with pytest.raises(KeyError, match="calls_total"):
        samples.sum("calls_total", way="up")
    with pytest.raises(KeyError, match="no_such"):
        samples["no_such"]
