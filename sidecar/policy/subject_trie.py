"""Which of many sets of attributes are contained in a certificate's subject.

The attributes of a set, in sorted order, are its way down a trie. A subject's own
attributes, sorted too, then reach exactly the sets that it contains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

Attribute: TypeAlias = tuple[str, str]


@define(eq=False, weakref_slot=False)
class _Node(Generic[T]):
    value: T | None = None
    children: dict[Attribute, _Node[T]] = field(factory=dict)


class SubjectTrie(Generic[T]):
    """Values by set of attributes.

    A look-up reaches the nodes whose attributes the subject has, all of them: it does
    not cost more for sets that ask for something else. What a subject says, and at
    what length, is for the CA to choose, not for the peer.
    """

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def insert(self, attributes: frozenset[Attribute], value: T) -> None:
        """Keep *value* for a set of *attributes*."""
        node = self._root
        for attribute in sorted(attributes):
            child = node.children.get(attribute)
            if child is None:
                child = node.children[attribute] = _Node()
            node = child
        node.value = value

    def matching(self, subject: Iterable[Attribute]) -> list[T]:
        """Return the values of all sets that *subject* contains, in no order."""
        reached = [self._root]
        for attribute in sorted(set(subject)):
            # Those reached before may take this attribute next, or leave it.
            reached += [
                node.children[attribute]
                for node in reached
                if attribute in node.children
            ]
        return [node.value for node in reached if node.value is not None]
