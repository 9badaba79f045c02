"""Changes to collections in brackets: JSON, and what looks like it within YAML."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sidecar.injector.yaml_tree import Fresh, Mapping, Sequence, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.injector.splice_text import Edit
    from sidecar.injector.yaml_tree import Node


class Flow:
    """Writes what is new as JSON, on lines of its own where the rest is on such."""

    def __init__(self, text: Text, root: Node) -> None:
        self._text = text
        self._step = 2
        if isinstance(root, Mapping) and root.entries:
            first = text.column(root.entries[0].start)
            self._step = first - text.column(root.start) or 2

    def edits(
        self,
        node: Mapping | Sequence,
        there: list[Any],
        gone: list[int],
        runs: list[tuple[Any, list[Fresh]]],
    ) -> Iterator[Edit]:
        """Give the edits of one collection.

        Args:
            node: The collection.
            there: Its entries or items, as the text has them.
            gone: Which of them go.
            runs: What is new, with what it comes behind; None stands for nothing.
        """
        if not there:
            new = ", ".join(self.member(each, None) for each in runs[0][1])
            yield node.start + 1, node.start + 1, new
            return
        indent = self._indent(node, there[0].start)
        between = ", " if indent is None else f",{self._text.newline}{indent}"
        for behind, fresh in runs:
            written = [self.member(each, indent) for each in fresh]
            if behind is None:
                new = "".join(each + between for each in written)
                place = there[0].start
            else:
                new = "".join(between + each for each in written)
                place = behind.end
            if new:
                yield place, place, new
        yield from _without(there, gone)

    def member(self, fresh: Fresh, indent: str | None) -> str:
        """Write a member or an item; without an indentation, on one line."""
        if fresh.text is not None:
            return fresh.text
        step = None if indent is None else self._step
        dumped = json.dumps(fresh.value, ensure_ascii=False, indent=step)
        dumped = dumped.replace("\n", f"{self._text.newline}{indent}")
        key = "" if fresh.key is None else f"{json.dumps(fresh.key)}: "
        return key + dumped

    def _indent(self, node: Mapping | Sequence, first: int) -> str | None:
        start = self._text.line_start(first)
        if start <= node.start:
            return None
        return " " * (first - start)


def _without(there: list[Any], gone: list[int]) -> Iterator[Edit]:
    """Take parts away with the comma before them, or the first with that behind it."""
    leading = 0
    while leading in gone:
        leading += 1
    if leading == len(there):
        yield there[0].start, there[-1].end, ""
    elif leading:
        yield there[0].start, there[leading].start, ""
    for at in gone:
        if at > leading:
            yield there[at - 1].end, there[at].end, ""
