"""What every kind of work has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from attrs import field, frozen

from bench.proxies.proxy import Setting

if TYPE_CHECKING:
    from bench.measures import Measure
    from bench.pair import Pair


@frozen
class Effort:
    """How much of each work is done."""

    seconds: int
    """Of closed-loop and of paced load."""
    idle_connections: int
    rate: int
    """Requests a second, of paced load."""


@frozen
class Work(ABC):
    """One kind of work."""

    name: str
    """For the command line and the files."""
    title: str
    """For the tables."""
    setting: Setting = field(default=Setting(), kw_only=True)
    uploads: bool = field(default=False, kw_only=True)
    """The application has to be the one that takes uploads."""

    measures: ClassVar[tuple[Measure, ...]]
    """What comes of it, the most important first."""
    needs_new_pair: ClassVar[bool] = False
    """A pair that has done anything before would spoil it."""

    @abstractmethod
    def seconds(self, effort: Effort) -> float:
        """Return about how long it takes."""

    @abstractmethod
    def run(self, pair: Pair, effort: Effort) -> dict[str, float]:
        """Do it, and return a value for the key of each measure.

        Raises:
            Unmeasured: It could not be done, or not all of it.
        """
