"""Counts that wait for somebody to look.

To count with prometheus-client takes half a dozen calls, for a lock that one event
loop does not need and for checks that hold or do not for good; and a connection is
counted nine times. So it is added up here, which takes one, and put into the
instruments when a registry collects them: before anybody reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Counter, Gauge, Histogram
    from prometheus_client.metrics_core import Metric

# What is observed is kept one by one; if nobody looks, not for ever.
_MOST_OBSERVED: Final = 1024


class Tally(Collector):
    """Adds up what is due to instruments. Register it before them."""

    def __init__(self) -> None:
        self._due: dict[Counter | Gauge, float] = {}
        self._observed: list[tuple[Histogram, float]] = []

    def add(self, to: Counter | Gauge, amount: float = 1) -> None:
        """Count *amount* more; to a gauge it may be less than nothing."""
        self._due[to] = self._due.get(to, 0) + amount

    def observe(self, by: Histogram, value: float) -> None:
        """Have *by* observe *value*."""
        self._observed.append((by, value))
        if len(self._observed) >= _MOST_OBSERVED:
            self._settle()

    def describe(self) -> Iterable[Metric]:
        """Give no metric: those of the instruments are their own."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Put what is due into the instruments, and give no metric."""
        self._settle()
        return ()

    def _settle(self) -> None:
        due, self._due = self._due, {}
        observed, self._observed = self._observed, []
        for to, amount in due.items():
            to.inc(amount)
        for by, value in observed:
            by.observe(value)
