"""Pairs that stay up between the work that they are given."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from bench.pair import Pair
from bench.processes import end_all
from bench.unmeasured import Unmeasured

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from bench.proxies.proxy import Proxy, Setting
    from bench.stage import Stage
    from bench.work.work import Work


class Pool:
    """Starts pairs when they are first needed; a `with` block ends them all.

    An idle pair costs nothing, so all are up at once: then one proxy's turn follows
    the other's within seconds, and the machine's mood has little time to change.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._pairs: dict[tuple[Proxy, Setting, int], Pair] = {}
        self._broken: dict[tuple[Proxy, Setting, int], Unmeasured] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all pairs."""
        pairs = self._pairs.values()
        end_all([process for pair in pairs for process in pair.processes])

    @contextmanager
    def pair(self, proxy: Proxy, work: Work) -> Iterator[Pair]:
        """Lend a pair for *work*; one that fails it is not lent again.

        Raises:
            Unmeasured: It does not start.
        """
        application = self._stage.sink if work.uploads else self._stage.application
        if work.needs_new_pair:
            site = self._stage.site(proxy.name, work.setting, application)
            with Pair(proxy, site) as pair:
                yield pair
            return
        key = proxy, work.setting, application
        pair = self._started(key)
        try:
            yield pair
        except BaseException:
            self._pairs.pop(key).stop()
            raise

    def _started(self, key: tuple[Proxy, Setting, int]) -> Pair:
        if key in self._broken:
            raise self._broken[key]
        if key not in self._pairs:
            proxy, setting, application = key
            pair = Pair(proxy, self._stage.site(proxy.name, setting, application))
            try:
                self._pairs[key] = pair.__enter__()
            except Unmeasured as reason:
                self._broken[key] = reason
                raise
        return self._pairs[key]
