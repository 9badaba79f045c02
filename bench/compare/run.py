"""The rounds: every proxy does every work, in turn."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from attrs import frozen

from bench.compare.pool import Pool
from bench.compare.results import Failure, Look, Results, Sample
from bench.proxies.catalogue import OURS
from bench.unmeasured import Unmeasured
from bench.wire import probe
from bench.work.catalogue import AT_ONCE, FULL, RESUMED
from bench.work.closed_loop import Connections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.progress import Progress
    from bench.proxies.proxy import Proxy
    from bench.stage import Stage
    from bench.work.work import Effort, Work

# The pairs that are started for a look, and how long it takes beside their starts.
_PAIRS_LOOKED_AT: Final = 4
_LOOK_SECONDS: Final = 4.0


@frozen
class Plan:
    """What is compared, doing what, how often."""

    proxies: Sequence[Proxy]
    works: Sequence[Work]
    effort: Effort
    rounds: int
    against: str
    """The proxy that ratios are taken against."""

    @property
    def seconds(self) -> float:
        """About how long it takes."""
        turns = itertools.product(self.proxies, self.works)
        of_a_round = sum(_seconds(*turn, self.effort) for turn in turns)
        looks = sum(_look_seconds(proxy) for proxy in self.proxies)
        return looks + self.rounds * of_a_round


def compare(plan: Plan, stage: Stage, progress: Progress) -> Results:
    """Give every work to a pair of each proxy, in turn, round after round.

    What fails is a part of the results, and never an exception.
    """
    results = Results(list(plan.works), OURS, plan.against)
    present = [each for each in plan.proxies if _look(each, stage, results, progress)]
    with Pool(stage) as pool:
        for turn in range(plan.rounds):
            # Nobody is always the one who comes after the same other.
            first = turn % max(1, len(present))
            order = [*present[first:], *present[:first]]
            for work, proxy in itertools.product(plan.works, order):
                what = f"round {turn + 1}/{plan.rounds}  {proxy.name}  {work.title}"
                with progress.step(what, _seconds(proxy, work, plan.effort)):
                    _measure(proxy, work, turn, pool, plan.effort, results)
    return results


def _seconds(proxy: Proxy, work: Work, effort: Effort) -> float:
    start = proxy.settle_seconds if work.needs_new_pair else 0.0
    return work.seconds(effort) + start


def _look_seconds(proxy: Proxy) -> float:
    return _LOOK_SECONDS + _PAIRS_LOOKED_AT * proxy.settle_seconds


def _look(proxy: Proxy, stage: Stage, results: Results, progress: Progress) -> bool:
    """See that *proxy* is there and does what the others do; note why not."""
    with progress.step(f"looking at {proxy.name}", _look_seconds(proxy)):
        try:
            results.looks[proxy.name] = Look(
                proxy.version(),
                proxy.checks,
                probe.takes_strangers(proxy, stage),
                full=probe.look(proxy, stage, FULL, AT_ONCE),
                resumed=probe.look(proxy, stage, RESUMED, AT_ONCE),
            )
        except Unmeasured as reason:
            results.absent[proxy.name] = str(reason)
            return False
    return True


def _measure(
    proxy: Proxy, work: Work, turn: int, pool: Pool, effort: Effort, results: Results
) -> None:
    def fail(reason: str, *, tried: bool) -> None:
        results.failures.append(Failure(proxy.name, work.name, turn, reason, tried))

    reason = objection(work, results.looks[proxy.name])
    if reason is not None:
        fail(reason, tried=False)
        return
    try:
        with pool.pair(proxy, work) as pair:
            values = work.run(pair, effort)
    except Unmeasured as error:
        fail(str(error), tried=True)
    else:
        results.samples.append(Sample(proxy.name, work.name, turn, values))


def objection(work: Work, look: Look) -> str | None:
    """Say why *work* would not be what it is called; None if nothing is wrong."""
    if isinstance(work, Connections):
        if work.setting == FULL and look.full.resumed:
            return f"resumes {look.full.resumed:.0%} of its sessions unasked"
        if work.setting == RESUMED and not look.resumed.resumed:
            return "does not resume sessions"
    return None
