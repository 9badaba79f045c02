"""A JSON patch applied to the text of a YAML or JSON document.

Only what an operation names is written anew: all other lines, with their comments,
their order and their quotes, stay byte for byte what they are. What was added by one
patch and taken away by another leaves the text that there was.

What cannot be edited so, such as an alias, is `Unspliceable`. Whoever calls has to
compare what the new text says with what it should say all the same.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeAlias

from sidecar.injector.operations import apply, pointer, split
from sidecar.injector.splice_render import rendered
from sidecar.injector.splice_text import Unspliceable
from sidecar.injector.yaml_tree import (
    Entry,
    Fresh,
    Leaf,
    Mapping,
    Node,
    Sequence,
    roots,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping as Map, Sequence as Seq

    from sidecar.injector.model import Operation

_Here: TypeAlias = Mapping | Sequence | dict[str, Any] | list[Any]
"""A collection of the text, or one that an operation has added."""


def spliced(
    text: str, operations: Iterable[Operation], source: Map[str, str] | None = None
) -> str:
    """Give the text of one document with *operations* applied to it.

    Args:
        text: One YAML or JSON document, with whatever is before and behind it.
        operations: As injection makes them.
        source: By the path of an operation, how its member is to be written.

    Raises:
        Unspliceable: The text is not written so that it can be edited in place.
        yaml.YAMLError: It is not YAML.
    """
    root = _root(text)
    splice = _Splice(root, source or {})
    for operation in operations:
        splice.apply(operation)
    return rendered(text, root)


def member_texts(text: str, operations: Iterable[Operation]) -> dict[str, str]:
    """Give, by its path, the text of each member that *operations* put others for.

    Raises:
        Unspliceable: As for `spliced`.
    """
    splice = _Splice(_root(text), {})
    found: dict[str, str] = {}
    for operation in operations:
        *above, last = split(operation["path"])
        here = splice.find(above)
        if operation["op"] != "add" and isinstance(here, Mapping):
            entry = _member(here, last)
            if isinstance(entry, Entry):
                found[operation["path"]] = text[entry.start : entry.end]
        splice.apply(operation)
    return found


def _root(text: str) -> Node:
    found = roots(text)
    if len(found) != 1:
        raise Unspliceable("not one document")
    return found[0][1]


class _Splice:
    """One document, and what becomes of it."""

    def __init__(self, root: Node, source: Map[str, str]) -> None:
        self._root = root
        self._source = source
        self._gone: tuple[str, Entry, int] | None = None
        """What the last operation took away: the path above it, it, its position."""

    def apply(self, operation: Operation) -> None:
        """Take note of one operation."""
        op, path = operation["op"], operation["path"]
        *above, last = split(path)
        here = self.find(above)
        if isinstance(here, Mapping):
            value = copy.deepcopy(operation.get("value"))
            fresh = Fresh(last, value, self._source.get(path))
            self._change_member(here, op, fresh, pointer(tuple(above)))
            return
        self._gone = None
        if isinstance(here, Sequence):
            _change_item(here, op, last, copy.deepcopy(operation.get("value")))
        else:
            apply(here, {**operation, "path": pointer((last,))})

    def find(self, path: Seq[str]) -> _Here:
        """Find what is at *path* by now."""
        here: Any = self._root
        for token in path:
            if isinstance(here, Mapping):
                found = _member(here, token)
                here = (
                    found.instead or found.value if isinstance(found, Entry) else found
                )
            elif isinstance(here, Sequence):
                here = here.live[int(token)]
            else:
                here = here[int(token) if isinstance(here, list) else token]
            if isinstance(here, Fresh):
                here = here.value
            if isinstance(here, Leaf):
                raise Unspliceable(f"{token} is an alias")
        found_here: _Here = here
        return found_here

    def _change_member(self, here: Mapping, op: str, fresh: Fresh, above: str) -> None:
        gone, self._gone = self._gone, None
        if op == "add":
            if gone is None or gone[0] != above:
                here.live.append(fresh)
                return
            # What comes at once for what went takes its place.
            _, entry, at = gone
            entry.instead = fresh
            here.live.insert(at, entry)
            return
        found = _member(here, str(fresh.key))
        at = here.live.index(found)
        if op == "remove":
            del here.live[at]
            if isinstance(found, Entry):
                self._gone = (above, found, at)
        elif isinstance(found, Entry):
            found.instead = fresh
        else:
            here.live[at] = fresh


def _change_item(here: Sequence, op: str, token: str, value: Any) -> None:
    if op == "add":
        at = len(here.live) if token == "-" else int(token)  # noqa: S105 - of a pointer
        here.live.insert(at, Fresh(None, value))
    elif op == "remove":
        del here.live[int(token)]
    else:
        raise Unspliceable("an item in the place of another")


def _member(here: Mapping, key: str) -> Entry | Fresh:
    for each in reversed(here.live):
        present = each.instead if isinstance(each, Entry) and each.instead else each
        if present.key == key:
            return each
    raise Unspliceable(f"{key} is not written in its place")
