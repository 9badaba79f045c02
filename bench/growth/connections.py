"""What one more request, one more connection and one held open cost among how many."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Final

from attrs import frozen

from bench import measures
from bench.application import SMALL
from bench.growth.series import Series
from bench.load.herd import Herd
from bench.pair import Pair
from bench.proxies.proxy import Setting
from bench.proxies.sidecar import Sidecar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.progress import Progress
    from bench.stage import Stage

_SETTLE_SECONDS: Final = 0.2
_SECONDS_EACH: Final = 0.002
_AT_ONCE: Final = 32

OPEN: Final = "open connections"


@frozen
class Amount:
    """How much is done at each level."""

    requests: int
    """On all open connections in turn."""
    connections: int
    """New ones, closed again."""

    def seconds(self, levels: Sequence[int]) -> float:
        """Return about how long a round takes."""
        at_each = 0.0003 * self.requests + _SECONDS_EACH * self.connections
        return 2 + len(levels) * at_each + _SECONDS_EACH * max(levels)


@frozen
class Level:
    """What was measured with so many connections open."""

    cpu_us_per_request: float
    cpu_us_per_connection: float
    rss_mb: float


def measure(
    stage: Stage,
    levels: Sequence[int],
    amount: Amount,
    rounds: int,
    progress: Progress,
) -> list[Series]:
    """Measure each level, *rounds* times over, and return the medians.

    Raises:
        Unmeasured: The sidecars failed.
    """
    found: list[list[Level]] = []
    for turn in range(rounds):
        what = f"round {turn + 1}/{rounds}  up to {max(levels):,} connections"
        with progress.step(what, amount.seconds(levels)):
            found.append(_round(stage, levels, amount))
    by_level = list(zip(*found, strict=True))

    def series(title: str, shown: measures.Measure, *, each: bool) -> Series:
        values = [
            median(getattr(level, shown.key) for level in rounds_of_it)
            for rounds_of_it in by_level
        ]
        return Series(title, OPEN, shown, tuple(levels), tuple(values), each=each)

    return [
        series("a request", measures.CPU_PER_REQUEST, each=True),
        series("a new connection", measures.CPU_PER_CONNECTION, each=True),
        series("memory of both sides", measures.RSS_MB, each=False),
    ]


def _round(stage: Stage, levels: Sequence[int], amount: Amount) -> list[Level]:
    sidecar = Sidecar()
    # Beside those held open there are the new ones.
    setting = Setting(connections=max(levels) + _AT_ONCE)
    with (
        Pair(sidecar, stage.site(sidecar.name, setting)) as pair,
        Herd(pair.port, SMALL) as herd,
    ):
        return [_level(pair, herd, level, amount) for level in levels]


def _level(pair: Pair, herd: Herd, level: int, amount: Amount) -> Level:
    herd.grow(level)
    time.sleep(_SETTLE_SECONDS)
    rss = sum(pair.rss_bytes())
    before = pair.cpu_seconds()
    herd.visit(amount.requests)
    between = pair.cpu_seconds()
    open_and_close(pair.port, amount.connections)
    time.sleep(_SETTLE_SECONDS)
    after = pair.cpu_seconds()
    return Level(
        (between - before) / amount.requests * 1e6,
        (after - between) / amount.connections * 1e6,
        rss / 1e6,
    )


def open_and_close(port: int, count: int) -> None:
    """Open so many connections, a few at a time, each for one request.

    Raises:
        Unmeasured: One of them failed.
    """
    for _ in range(0, count, _AT_ONCE):
        with Herd(port, SMALL) as herd:
            herd.grow(_AT_ONCE)
