"""Requests at a fixed rate below what anybody can carry: how long each one takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from attrs import frozen

from bench.application import SMALL
from bench.load import paced
from bench.measures import (
    CPU_PER_REQUEST,
    LATE,
    P50,
    P99,
    P999,
)
from bench.work.work import Effort, Work

if TYPE_CHECKING:
    from bench.measures import Measure
    from bench.pair import Pair

_CONNECTIONS: Final = 64
_START_SECONDS: Final = 0.5


@frozen
class Steady(Work):
    """Latency as it is, without coordinated omission."""

    measures: ClassVar[tuple[Measure, ...]] = (
        P50,
        P99,
        P999,
        CPU_PER_REQUEST,
        LATE,
    )

    def seconds(self, effort: Effort) -> float:
        return effort.seconds + _START_SECONDS

    def run(self, pair: Pair, effort: Effort) -> dict[str, float]:
        pace = paced.Pace(SMALL, _CONNECTIONS, effort.rate, effort.seconds)
        before = pair.cpu_seconds()
        report = paced.run(pace, pair.port)
        cpu_seconds = pair.cpu_seconds() - before
        return {
            P50.key: report.p50,
            P99.key: report.p99,
            P999.key: report.p999,
            CPU_PER_REQUEST.key: cpu_seconds / report.requests * 1e6,
            LATE.key: report.late_p99,
        }
