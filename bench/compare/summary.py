"""Medians and ratios of rounds (pure)."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@frozen
class Figure:
    """A median, and the least and the greatest that it is the median of."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def spread(self) -> float:
        """Return half the distance from the least to the greatest, by the median."""
        return (self.high - self.low) / 2 / self.median if self.median else 0.0


def figure(values: Sequence[float]) -> Figure:
    """Sum up the values of some rounds, at least one."""
    return Figure(statistics.median(values), min(values), max(values), len(values))


def ratios(ours: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    """Return the ratio of each round that has both.

    Within a round, since both had the same machine in the same mood: a median of
    ratios, not a ratio of medians.
    """
    return [ours[at] / theirs[at] for at in sorted(ours) if theirs.get(at)]
