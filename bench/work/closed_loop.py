"""As much as a number of connections can carry: cost by the gigabyte or the request."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Final

from attrs import field, frozen

from bench.load import wrk
from bench.measures import (
    CONNECTIONS,
    CPU_PER_CONNECTION,
    CPU_PER_GB,
    CPU_PER_REQUEST,
    GB_PER_SECOND,
    P50,
    P99,
    REQUESTS,
)
from bench.unmeasured import Unmeasured
from bench.work.work import Effort, Work

if TYPE_CHECKING:
    from bench.measures import Measure
    from bench.pair import Pair

_START_SECONDS: Final = 0.3
# For what the proxies still have to do for the last requests.
_SETTLE_SECONDS: Final = 0.05


@frozen
class _ClosedLoop(Work):
    load: wrk.Load = field(kw_only=True)

    def seconds(self, effort: Effort) -> float:
        return effort.seconds + _START_SECONDS

    def run(self, pair: Pair, effort: Effort) -> dict[str, float]:
        before = pair.cpu_seconds()
        report = wrk.run(self.load, pair.port, effort.seconds)
        time.sleep(_SETTLE_SECONDS)
        return self.figures(report, pair.cpu_seconds() - before)

    def figures(self, report: wrk.Report, cpu_seconds: float) -> dict[str, float]:
        """Return the values of the measures."""
        raise NotImplementedError


@frozen
class Bulk(_ClosedLoop):
    """Much data on few connections, one way."""

    measures: ClassVar[tuple[Measure, ...]] = (CPU_PER_GB, GB_PER_SECOND)

    def figures(self, report: wrk.Report, cpu_seconds: float) -> dict[str, float]:
        size = self.load.upload_bytes * report.requests or report.received_bytes
        if not size:
            raise Unmeasured(f"nothing was carried in {report.seconds:.0f} s")
        return {
            CPU_PER_GB.key: cpu_seconds / size * 1e9,
            GB_PER_SECOND.key: size / report.seconds / 1e9,
        }


@frozen
class Requests(_ClosedLoop):
    """Request and answer on connections that stay open."""

    measures: ClassVar[tuple[Measure, ...]] = (
        CPU_PER_REQUEST,
        P50,
        P99,
        REQUESTS,
    )

    def figures(self, report: wrk.Report, cpu_seconds: float) -> dict[str, float]:
        return _each(report, cpu_seconds, self.measures)


@frozen
class Connections(_ClosedLoop):
    """A new connection for each request."""

    measures: ClassVar[tuple[Measure, ...]] = (
        CPU_PER_CONNECTION,
        P50,
        P99,
        CONNECTIONS,
    )

    def figures(self, report: wrk.Report, cpu_seconds: float) -> dict[str, float]:
        return _each(report, cpu_seconds, self.measures)


def _each(
    report: wrk.Report, cpu_seconds: float, measured: tuple[Measure, ...]
) -> dict[str, float]:
    if not report.requests:
        raise Unmeasured(f"nothing was answered in {report.seconds:.0f} s")
    values = (
        cpu_seconds / report.requests * 1e6,
        report.p50,
        report.p99,
        report.requests / report.seconds,
    )
    return {measure.key: value for measure, value in zip(measured, values, strict=True)}
