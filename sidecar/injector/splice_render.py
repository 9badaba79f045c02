"""A tree that was edited, into text: what is to be written where."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import yaml

from sidecar.injector.splice_flow import Flow
from sidecar.injector.splice_text import Edit, Unspliceable, with_edits
from sidecar.injector.yaml_tree import Entry, Fresh, Leaf, Mapping, Sequence, Text

if TYPE_CHECKING:
    from sidecar.injector.yaml_tree import Node

_NO_END: Final = 2**31 - 1


def rendered(text: str, root: Node) -> str:
    """Give *text* as the edited tree of it says.

    Raises:
        Unspliceable: It is not written so that it can be edited in place.
    """
    writer = _Writer(text, root)
    writer.visit(root)
    return writer.result()


class PlainDumper(yaml.SafeDumper):
    """Writes lists as the text around them does."""

    indented = False

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Begin a collection."""
        super().increase_indent(flow, indentless and not self.indented)

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        return True


class _IndentedDumper(PlainDumper):
    indented = True


class _Writer:
    """Collects what is to be written: from, to, and the text instead."""

    def __init__(self, text: str, root: Node) -> None:
        self._text = Text(text)
        self._edits: list[Edit] = []
        self._dumper = (
            _IndentedDumper if _indents_lists(self._text, root) else PlainDumper
        )
        self._flow = Flow(self._text, root)

    def visit(self, node: Node) -> None:
        """Write what has changed in a value; what is inside comes first."""
        if isinstance(node, Mapping):
            for entry in node.live:
                if isinstance(entry, Entry):
                    self._visit_entry(node, entry)
            self._collection(node, [*node.entries])
        elif isinstance(node, Sequence):
            for item in node.live:
                if not isinstance(item, Fresh):
                    self.visit(item)
            self._collection(node, [*node.items])

    def _visit_entry(self, node: Mapping, entry: Entry) -> None:
        value, fresh = entry.value, entry.instead
        if fresh is None and _emptied(value):
            fresh = Fresh(entry.key, {} if isinstance(value, Mapping) else [])
        if fresh is None:
            self.visit(value)
            return
        if fresh.text is not None:
            new = fresh.text
        elif node.flow:
            new = self._flow.member(fresh, None)
        elif not isinstance(value, Leaf) and value.flow:
            new = f"{self._key(fresh)}: {json.dumps(fresh.value, ensure_ascii=False)}"
        else:
            new = self._block(fresh, self._text.column(entry.start)).lstrip(" ")
            new = new.removesuffix(self._text.newline)
        self._edits.append((entry.start, entry.end, new))

    def _collection(self, node: Mapping | Sequence, there: list[Entry | Node]) -> None:
        alive = {id(each) for each in node.live}
        gone = [at for at, each in enumerate(there) if id(each) not in alive]
        runs = _runs(node.live)
        if not gone and not any(fresh for _, fresh in runs):
            return
        if node.flow:
            self._edits += self._flow.edits(node, there, gone, runs)
            return
        if not (len(gone) < len(there)):
            raise Unspliceable("everything in a block went")
        for at in gone:
            start = self._text.line_start(self._start(node, there, at))
            self._edits.append((start, self._line_after(there[at]), ""))
        for behind, fresh in runs:
            if fresh:
                self._insert(node, there, behind, fresh)

    def _insert(
        self,
        node: Mapping | Sequence,
        there: list[Entry | Node],
        behind: Any,
        fresh: list[Fresh],
    ) -> None:
        first = there[0].start
        if isinstance(node, Sequence):
            first = self._start(node, there, 0)
        column = self._text.column(first)
        at = self._before(first) if behind is None else self._line_after(behind)
        new = "".join(self._block(each, column) for each in fresh)
        self._edits.append((at, at, new))

    def _start(self, node: Mapping | Sequence, there: list[Any], at: int) -> int:
        """Find where an entry, or the dash of an item, stands alone on its line."""
        start: int = there[at].start
        if isinstance(node, Sequence):
            start = self._dash(node, start)
        if self._indentation(start) != self._text.column(start):
            raise Unspliceable("two parts of it begin on one line")
        return start

    def _dash(self, node: Sequence, start: int) -> int:
        text, column = self._text.text, self._text.column(node.start)
        line = self._text.line_start(start)
        while line >= self._text.line_start(node.start):
            if text[line + column : line + column + 1] == "-" and line + column < start:
                return line + column
            line = self._text.line_start(line - 1) if line else -1
        raise Unspliceable("an item without a dash")

    def _indentation(self, offset: int) -> int:
        start = self._text.line_start(offset)
        line = self._text.text[start : self._text.line_end(offset)]
        return len(line) - len(line.lstrip(" "))

    def _before(self, first: int) -> int:
        """Find the line before the first item and the comments above it."""
        start = self._text.line_start(first)
        while start:
            above = self._text.line_start(start - 1)
            line = self._text.text[above:start].strip()
            if line and not line.startswith("#"):
                break
            start = above
        return start

    def _line_after(self, part: Entry | Node) -> int:
        return self._text.line_end(part.end)

    def _block(self, fresh: Fresh, column: int) -> str:
        """Write a member or an item as lines that begin at *column*."""
        if fresh.text is not None:
            return " " * column + fresh.text + self._text.newline
        value = [fresh.value] if fresh.key is None else {fresh.key: fresh.value}
        dumped = yaml.dump(
            value,
            Dumper=self._dumper,
            sort_keys=False,
            allow_unicode=True,
            width=_NO_END,
        )
        return "".join(
            " " * column + line + self._text.newline for line in dumped.splitlines()
        )

    def _key(self, fresh: Fresh) -> str:
        return self._block(Fresh(fresh.key, 0), 0).rpartition(":")[0]

    def result(self) -> str:
        """Give the whole text."""
        return with_edits(self._text, self._edits)


def _emptied(node: Node) -> bool:
    if isinstance(node, Leaf) or node.flow:
        return False
    return not node.live


def _runs(live: list[Any]) -> list[tuple[Any, list[Fresh]]]:
    """Group what is new by what it comes behind; None stands for nothing."""
    runs: list[tuple[Any, list[Fresh]]] = [(None, [])]
    for each in live:
        if isinstance(each, Fresh):
            runs[-1][1].append(each)
        else:
            runs.append((each, []))
    return runs


def _indents_lists(text: Text, root: Node) -> bool:
    """Tell whether the text's first list is further right than its key."""
    nodes = [root]
    while nodes:
        node = nodes.pop(0)
        if isinstance(node, Mapping):
            for entry in node.entries:
                value = entry.value
                if isinstance(value, Sequence) and not (value.flow or node.flow):
                    return text.column(value.start) > text.column(entry.start)
                nodes.append(value)
        elif isinstance(node, Sequence):
            nodes += node.items
    return False
