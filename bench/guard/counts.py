"""What is counted for an item, and how it compares with its limit (pure)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from attrs import frozen

from bench.guard.exercise import CONNECTION, MEGABYTE, REQUEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.guard.exercise import Batch

_MOST: Final = 8
_TOLERANCE_OF_BULK: Final = 0.30


@frozen
class Kind:
    """A kind of call, and how much its count may vary between machines."""

    title: str
    includes: Callable[[str], bool]
    tolerance: float


WORKING_CALLS: Final = Kind(
    "system calls, without epoll's", lambda name: not name.startswith("epoll"), 0.10
)
"""How often a process waits depends on how fast the others are; what it does not."""
SYSTEM_CALLS: Final = Kind("system calls", lambda _: True, 0.25)
OWN_FUNCTIONS: Final = Kind(
    "calls of our functions", lambda name: name.startswith("sidecar."), 0.10
)
FUNCTIONS: Final = Kind("function calls", lambda _: True, 0.50)
"""Trio's with them: how often it is asked depends on how fast the others are, too. With
four processes that compute beside the guard it was a quarter more."""


@frozen
class Count:
    """How many calls of a kind an item takes."""

    kind: Kind
    item: str
    value: float
    by_name: Mapping[str, float]
    """The calls that there are most of."""

    @property
    def name(self) -> str:
        """Name it, as limits.json does."""
        return f"{self.kind.title}, each {self.item}"

    @property
    def tolerance(self) -> float:
        """Return how much it may vary between machines, and from run to run."""
        # A slow profiler lets a read find less than the whole answer, now and then.
        least = _TOLERANCE_OF_BULK if self.item == MEGABYTE else 0.0
        return max(least, self.kind.tolerance)


@frozen
class Verdict:
    """A count beside its limit."""

    count: Count
    limit: float | None

    @property
    def has_grown(self) -> bool:
        """Whether it is above its limit; a count without limit never is."""
        if self.limit is None:
            return False
        return self.count.value > self.limit * (1 + self.count.tolerance)


def counts(batches: Sequence[Batch], kinds: Sequence[Kind]) -> list[Count]:
    """Sum up batches, by item and kind.

    The least of the batches counts: what disturbs one of them only ever adds to it.
    """
    return [
        _count(kind, item, [batch for batch in batches if batch.item == item])
        for item in (REQUEST, MEGABYTE, CONNECTION)
        for kind in kinds
    ]


def _count(kind: Kind, item: str, batches: Sequence[Batch]) -> Count:
    chosen = [
        Counter({name: n for name, n in batch.called.items() if kind.includes(name)})
        for batch in batches
    ]
    each = [
        called.total() / batch.items
        for called, batch in zip(chosen, batches, strict=True)
    ]
    least = each.index(min(each))
    by_name = {
        name: called / batches[least].items
        for name, called in chosen[least].most_common(_MOST)
    }
    return Count(kind, item, each[least], by_name)
