"""The operations on one pod, in their order, and how to undo them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

from sidecar.injector.operations import Tokens, apply, pointer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.injector.model import Operation


class Edits:
    """Collects operations; sees to it that there is something to add to.

    Attributes:
        pod: The pod as the operations so far leave it.
        operations: What was done.
        was: By JSON pointer, what stood there empty or null before something was added
            to it. What is not here was not there at all.
    """

    def __init__(self, pod: Mapping[str, Any]) -> None:
        self.pod: dict[str, Any] = copy.deepcopy(dict(pod))
        self.operations: list[Operation] = []
        self.was: dict[str, Any] = {}
        self._made: set[str] = set()

    def add_member(self, above: Tokens, key: str, value: Any) -> None:
        """Add to a mapping, or replace what has that key."""
        self.ensure(above)
        self._do("add", (*above, key), value)

    def add_items(self, path: Tokens, values: list[Any], *, first: bool) -> None:
        """Add to a list, before all others or behind them."""
        self._ensure(path, [])
        for at, value in enumerate(values):
            self._do("add", (*path, at if first else "-"), value)

    def ensure(self, path: Tokens) -> None:
        """See that there is a mapping."""
        self._ensure(path, {})

    def replace(self, path: Tokens, value: Any) -> None:
        """Put another value where one is."""
        self._do("replace", path, value)

    def remove(self, path: Tokens) -> None:
        """Take away what is there."""
        self._do("remove", path)

    def rename(self, above: Tokens, old: str, new: str, value: Any) -> None:
        """Put *new* in the place of the member *old*, or another value if they are one.

        The second of the two operations follows the first at once: so it is known that
        they belong together.
        """
        if old == new:
            self.replace((*above, old), value)
        else:
            self.remove((*above, old))
            self._do("add", (*above, new), value)

    def _ensure(self, path: Tokens, empty: Any) -> None:
        *above, last = path
        if isinstance(last, int):
            return  # an item of a list, that is there
        parent: dict[Any, Any] = self._mapping(tuple(above)) if above else self.pod
        there = parent.get(last)
        if there is None:
            if last in parent:
                self.was[pointer(path)] = None
            self._made.add(pointer(path))
            self._do("replace" if last in parent else "add", path, empty)
        elif not there and pointer(path) not in self._made:
            self.was[pointer(path)] = copy.copy(there)

    def _mapping(self, path: Tokens) -> dict[Any, Any]:
        self._ensure(path, {})
        found: Any = self.pod
        for token in path:
            found = found[token]
        return cast("dict[Any, Any]", found)

    def _do(self, op: str, path: Tokens, value: Any = None) -> None:
        operation: Operation = {"op": op, "path": pointer(path)}
        if op != "remove":
            operation["value"] = value
        self.operations.append(operation)
        apply(self.pod, operation)
