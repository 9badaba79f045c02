"""The series of a counter, at hand for whoever counts with every connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from prometheus_client import Counter

from sidecar.telemetry.capped import OTHER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

K = TypeVar("K", bound=tuple[object, ...])


class Children(dict[K, Counter], Generic[K]):
    """The children of a counter by what they count, each looked up once."""

    def __init__(self, counter: Counter, labels: Callable[..., Iterable[str]]) -> None:
        super().__init__()
        self._counter = counter
        self._labels = labels

    def __missing__(self, key: K) -> Counter:
        labels = tuple(self._labels(*key))
        child = self._counter.labels(*labels)
        # What shares a label is not kept: this table is bounded as the labels are.
        if OTHER not in labels:
            self[key] = child
        return child

    def show(self, key: K) -> None:
        """Create the child of *key*, at zero."""
        self.__missing__(key)
