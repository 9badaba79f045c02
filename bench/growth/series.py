"""A cost at several sizes, and whether it grows worse than linearly (pure)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measures import Measure

# A cost of n items that grows as n to the power of 1 is linear. What is above is noise,
# and caches that no longer hold everything: 1.2 is 1.6 times as much for each item of
# ten times as many. A loop over all of them for each one would show as 2.
_STILL_LINEAR: Final = 1.2


@frozen
class Series:
    """Values of one measure."""

    title: str
    """Of what."""
    against: str
    """What the sizes count."""
    measure: Measure
    sizes: tuple[int, ...]
    values: tuple[float, ...]
    each: bool
    """A value is the cost of one item among so many, not of all of them."""

    @property
    def exponent(self) -> float:
        """Return the power of n that the cost of n items grows with, at the end.

        Between the last two sizes: what is worse than linear shows there first.
        """
        (before, after), (small, large) = self.sizes[-2:], self.values[-2:]
        ratio = large / small * (after / before if self.each else 1)
        return math.log(ratio) / math.log(after / before)

    @property
    def is_linear(self) -> bool:
        """Whether it is not worse than linear."""
        return self.exponent <= _STILL_LINEAR

    def verdict(self) -> str:
        """Say how it grows, in a word or two."""
        what = "at most linear" if self.is_linear else "WORSE THAN LINEAR"
        return f"{what} (n^{self.exponent:.2f})"

    def row(self) -> list[str]:
        """Return the cells of a table's row."""
        figures = [self.measure.text(value) for value in self.values]
        return [self.title, self.measure.title, *figures, self.verdict()]

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "title": self.title,
            "against": self.against,
            "measure": self.measure.key,
            "sizes": list(self.sizes),
            "values": list(self.values),
            "exponent": self.exponent,
            "linear": self.is_linear,
        }


def sizes_up_to(most: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """Return *sizes*, those that are beyond *most* replaced by it."""
    return tuple(dict.fromkeys(min(size, most) for size in sizes))
