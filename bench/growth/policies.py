"""What a start, a new connection and a policy held in memory cost by its rules."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Final

from attrs import frozen

from bench import measures
from bench.growth.connections import open_and_close
from bench.growth.series import Series
from bench.pair import Pair
from bench.proxies.sidecar import POLICY, Sidecar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.progress import Progress
    from bench.proxies.proxy import Site
    from bench.stage import Stage

RULES: Final = "rules"

_SETTLE_SECONDS: Final = 0.2
_SECONDS_EACH: Final = 0.002
_START_SECONDS: Final = 3.5
_SECONDS_PER_RULE: Final = 0.0001


class Ruled(Sidecar):
    """A sidecar whose policy has so many rules; the last one lets the caller in."""

    def __init__(self, rules: int) -> None:
        self._rules = rules

    def write_policy(self, site: Site) -> None:
        text = ["default: deny\nrules:\n", *_rules(self._rules - 1), _last(site)]
        site.write(POLICY, "".join(text))


def _rules(count: int) -> Iterator[str]:
    """Make rules of every kind: exact and by pattern, of ports and of sources."""
    for at in range(count):
        action = "deny" if at % 10 == 9 else "allow"
        name = "*" if at % 100 == 50 else f"workload-{at}"
        yield (
            f"  - name: rule-{at}\n"
            f"    action: {action}\n"
            f'    peers: ["spiffe://example.org/ns/namespace-{at % 1000}/sa/{name}"]\n'
            f"    ports: [{1024 + at % 100}]\n"
        )
        if at % 20 == 0:
            yield f"    sources: [10.{at % 256}.0.0/16]\n"


def _last(site: Site) -> str:
    return (
        "  - name: bench\n"
        f'    peers: ["{site.certificates.client.spiffe_id}"]\n'
        "    action: allow\n"
    )


@frozen
class Size:
    """What was measured with so many rules."""

    start_seconds: float
    cpu_us_per_connection: float
    rss_mb: float


def planned_seconds(sizes: Sequence[int], connections: int) -> float:
    """Return about how long a round takes."""
    return sum(_seconds(size, connections) for size in sizes)


def _seconds(size: int, connections: int) -> float:
    return _START_SECONDS + size * _SECONDS_PER_RULE + connections * _SECONDS_EACH


def measure(
    stage: Stage,
    sizes: Sequence[int],
    connections: int,
    rounds: int,
    progress: Progress,
) -> list[Series]:
    """Measure each size, *rounds* times over, and return the medians.

    Raises:
        Unmeasured: The sidecars failed.
    """
    found: dict[int, list[Size]] = {size: [] for size in sizes}
    for turn in range(rounds):
        for size in sizes:
            what = f"round {turn + 1}/{rounds}  a policy of {size:,} rules"
            with progress.step(what, _seconds(size, connections)):
                found[size].append(_size(stage, size, connections))

    def series(title: str, shown: measures.Measure, *, each: bool) -> Series:
        values = [
            median(getattr(of, shown.key) for of in found[size]) for size in sizes
        ]
        return Series(title, RULES, shown, tuple(sizes), tuple(values), each=each)

    return [
        series("a new connection", measures.CPU_PER_CONNECTION, each=True),
        series("start", measures.START, each=False),
        series("memory of the server's side", measures.RSS_MB, each=False),
    ]


def _size(stage: Stage, rules: int, connections: int) -> Size:
    proxy = Ruled(rules)
    with Pair(proxy, stage.site(proxy.name)) as pair:
        rss = pair.rss_bytes()[0]
        before = pair.cpu_seconds()
        open_and_close(pair.port, connections)
        time.sleep(_SETTLE_SECONDS)
        cpu_seconds = pair.cpu_seconds() - before
    return Size(pair.start_seconds, cpu_seconds / connections * 1e6, rss / 1e6)
