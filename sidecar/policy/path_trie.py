"""A trie of path patterns: which of any number of them match a path.

The values are the caller's. Looking up a path costs as much as it has segments,
whatever the number of patterns; `*` makes the walk branch, see `PathTrie`.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from attrs import define, frozen

from sidecar.policy.pattern import ANY_PATH, ANY_SEGMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

SAMPLES: Final = 16
"""How many patterns `nearest` looks at: what a refused connection may cost."""


@frozen
class Near(Generic[T]):
    """The pattern that comes closest to a path that none matches.

    Attributes:
        values: Of the pattern, or of several that are as close.
        depth: How many segments they have in common with the path.
        expected: What the pattern has after those: one segment, or all the rest.
        found: What the path has in their place.
        only: Whether nothing else differs.
    """

    values: Sequence[T]
    depth: int
    expected: tuple[str, ...]
    found: tuple[str, ...]
    only: bool


@define(eq=False, weakref_slot=False)
class _Node(Generic[T]):
    children: dict[str, _Node[T]] | None = None  # by segment; made when needed
    any_child: _Node[T] | None = None  # of the segment `*`
    here: T | None = None  # of the pattern that ends here
    rest: T | None = None  # of the pattern that ends here with `**`

    def child(self, segment: str) -> _Node[T]:
        """Return the child of one segment of a pattern, made if there is none."""
        if segment == ANY_SEGMENT:
            if self.any_child is None:
                self.any_child = _Node()
            return self.any_child
        if self.children is None:
            self.children = {}
        child = self.children.get(segment)
        if child is None:
            child = self.children[segment] = _Node()
        return child

    def levels(self, segments: Sequence[str]) -> list[list[_Node[T]]]:
        """Return the nodes that 0, 1, 2... segments reach, up to the last that do."""
        level = [self]
        levels = [level]
        for segment in segments:
            reached = []
            for node in level:
                if node.children is not None and segment in node.children:
                    reached.append(node.children[segment])
                if node.any_child is not None:
                    reached.append(node.any_child)
            if not reached:
                break
            levels.append(reached)
            level = reached
        return levels

    def matching(self, segments: Sequence[str]) -> list[T]:
        levels = self.levels(segments)
        depth = len(segments)
        found = [
            node.rest  # it takes one segment or more
            for level in levels[:depth]
            for node in level
            if node.rest is not None
        ]
        if len(levels) > depth:
            found += [node.here for node in levels[depth] if node.here is not None]
        return found

    def first(self) -> tuple[T, tuple[str, ...]]:
        """Return the value of one pattern from here on, and its segments."""
        node = self
        segments: list[str] = []
        while node.here is None:
            if node.rest is not None:
                return node.rest, (*segments, ANY_PATH)
            segment, node = node.first_child()
            segments.append(segment)
        return node.here, tuple(segments)

    def first_child(self) -> tuple[str, _Node[T]]:
        if self.children is not None:
            return next(iter(self.children.items()))
        if self.any_child is None:
            raise AssertionError("every node is on the way to a value")
        return ANY_SEGMENT, self.any_child


class PathTrie(Generic[T]):
    """Values by path pattern.

    Looking up a path walks all nodes that one more segment reaches together. A node
    is reached in one way only, so at each depth they are never more than the
    patterns that begin like this path and differ in where they have `*`: few in a
    policy that somebody wrote, and never for the peer to choose. The depth is bounded
    by the length of a SPIFFE ID, 2048 bytes (SPIFFE-ID 2.3).
    """

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def insert(self, segments: Sequence[str], value: T, *, rest: bool) -> None:
        """Keep *value* for the pattern of *segments*, and `**` after them if *rest*."""
        node = self._root
        for segment in segments:
            node = node.child(segment)
        if rest:
            node.rest = value
        else:
            node.here = value

    def matching(self, segments: Sequence[str]) -> list[T]:
        """Return the values of all patterns that match a path, in no order."""
        return self._root.matching(segments)

    def nearest(self, segments: Sequence[str], fits: Callable[[T], object]) -> Near[T]:
        """Return a pattern that comes close to a path that none matches.

        Best is one that differs in a single segment and whose value *fits*, as late
        as possible; next one that differs in a single segment; else it is one that
        begins alike. Only `SAMPLES` of the patterns beside the path are looked at,
        the first that were inserted. There must be a pattern.
        """
        levels = self._root.levels(segments)
        close = None
        for depth, segment, node in islice(_beside(levels, segments), SAMPLES):
            if values := node.matching(segments[depth + 1 :]):
                near = Near(values, depth, (segment,), (segments[depth],), only=True)
                if any(map(fits, values)):
                    return near
                close = close or near
        if close is not None:
            return close
        depth = len(levels) - 1
        value, expected = levels[depth][0].first()
        return Near([value], depth, expected, tuple(segments[depth:]), only=False)


def _beside(
    levels: list[list[_Node[T]]], segments: Sequence[str]
) -> Iterator[tuple[int, str, _Node[T]]]:
    # The children that the path does not take, the deepest first.
    for depth in reversed(range(min(len(levels), len(segments)))):
        for node in levels[depth]:
            for segment, child in (node.children or {}).items():
                if segment != segments[depth]:
                    yield depth, segment, child
