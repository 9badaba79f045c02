"""Many connections that have said a little and now say nothing: what memory they hold."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Final

from attrs import frozen

from bench.application import SMALL
from bench.load.herd import Herd
from bench.measures import (
    FRESH_MB,
    IDLE_KIB,
)
from bench.work.work import Effort, Work

if TYPE_CHECKING:
    from bench.measures import Measure
    from bench.pair import Pair

_SETTLE_SECONDS: Final = 0.5
_SECONDS_EACH: Final = 0.002
_START_SECONDS: Final = 3.0


@frozen
class Idle(Work):
    """Connections held open, and the memory of a proxy that has none yet."""

    measures: ClassVar[tuple[Measure, ...]] = (IDLE_KIB, FRESH_MB)
    needs_new_pair = True

    def seconds(self, effort: Effort) -> float:
        return effort.idle_connections * _SECONDS_EACH + _START_SECONDS

    def run(self, pair: Pair, effort: Effort) -> dict[str, float]:
        before = pair.rss_bytes()
        count = min(effort.idle_connections, self.setting.connections)
        with Herd(pair.port, SMALL) as herd:
            herd.grow(count)
            time.sleep(_SETTLE_SECONDS)
            grown = sum(pair.rss_bytes()) - sum(before)
        return {
            IDLE_KIB.key: grown / count / 1024,
            FRESH_MB.key: max(before) / 1e6,
        }
