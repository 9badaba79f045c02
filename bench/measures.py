"""What is measured: a name for the files, and how the tables say it."""

from __future__ import annotations

from typing import Final

from attrs import frozen


@frozen
class Measure:
    """One figure of a work. Less is better, unless it says otherwise."""

    key: str
    title: str
    digits: int = 0
    more_is_better: bool = False

    def text(self, value: float) -> str:
        """Write a value as the tables show it."""
        return f"{value:,.{self.digits}f}"


CPU_PER_GB: Final = Measure("cpu_s_per_gb", "CPU s per GB", 2)
CPU_PER_REQUEST: Final = Measure("cpu_us_per_request", "CPU µs per request", 1)
CPU_PER_CONNECTION: Final = Measure("cpu_us_per_connection", "CPU µs each")
GB_PER_SECOND: Final = Measure("gb_per_s", "GB/s", 2, more_is_better=True)
REQUESTS: Final = Measure("requests_per_s", "requests/s", more_is_better=True)
CONNECTIONS: Final = Measure("connections_per_s", "each second", more_is_better=True)
P50: Final = Measure("p50_us", "p50 µs")
P99: Final = Measure("p99_us", "p99 µs")
P999: Final = Measure("p999_us", "p99.9 µs")
LATE: Final = Measure("generator_late_p99_us", "generator late, p99 µs")
IDLE_KIB: Final = Measure("kib_per_connection", "KiB each", 1)
FRESH_MB: Final = Measure("fresh_rss_mb", "RSS of one side, MB", 1)
RSS_MB: Final = Measure("rss_mb", "RSS, MB", 1)
START: Final = Measure("start_seconds", "seconds", 2)
