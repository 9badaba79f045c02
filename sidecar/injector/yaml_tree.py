"""Where each value of a YAML text stands in it, from PyYAML's events.

It is the text that is to be edited, so nothing is resolved here: a scalar is its
text, an alias is an alias. The tree also has room for what is to become of it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import yaml
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator

_PARSER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEEP: Final = re.compile(r"[|>][0-9]?\+")
_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # YAML 1.1, 5.4


@define
class Leaf:
    """A scalar or an alias; where nothing stands, *end* is *start*."""

    start: int
    end: int
    text: str | None
    """The scalar's; None for an alias."""


@define(eq=False)
class Fresh:
    """A member or item that the text does not have yet.

    Attributes:
        key: None for an item.
        text: How it was written, with its key, before somebody took it away.
    """

    key: str | None
    value: Any
    text: str | None = None


@define(eq=False)
class Entry:
    """A key with its value; the key is None where it is no scalar."""

    key: str | None
    start: int
    value: Node
    instead: Fresh | None = None

    @property
    def end(self) -> int:
        """Where the value ends."""
        return self.value.end


@define(eq=False)
class Mapping:
    """A mapping of the text.

    Attributes:
        entries: What the text has.
        live: What the edited text will have.
    """

    start: int
    end: int
    flow: bool
    entries: list[Entry] = field(factory=list)
    live: list[Entry | Fresh] = field(factory=list)


@define(eq=False)
class Sequence:
    """A list of the text; as a `Mapping`."""

    start: int
    end: int
    flow: bool
    items: list[Node] = field(factory=list)
    live: list[Node | Fresh] = field(factory=list)


Node: TypeAlias = Leaf | Mapping | Sequence


@define
class Text:
    """A text and its lines."""

    text: str
    _starts: list[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._starts = [0, *(each.end() for each in _BREAK.finditer(self.text))]

    @property
    def newline(self) -> str:
        """How its lines end."""
        found = _BREAK.search(self.text)
        return found.group() if found else "\n"

    def line_start(self, offset: int) -> int:
        """Where the line of *offset* begins."""
        return self._starts[bisect_right(self._starts, offset) - 1]

    def line_end(self, offset: int) -> int:
        """Where the line after that of *offset* begins, or the text ends."""
        at = bisect_right(self._starts, offset)
        return self._starts[at] if at < len(self._starts) else len(self.text)

    def line_number(self, offset: int) -> int:
        """Which line *offset* is on, counted from 1."""
        return bisect_right(self._starts, offset)

    def column(self, offset: int) -> int:
        """How far *offset* is from the beginning of its line."""
        return offset - self.line_start(offset)


def roots(text: str) -> list[tuple[int, Node]]:
    """Find each document of a text: where it begins, and its value.

    Raises:
        yaml.YAMLError: The text is not YAML.
    """
    events: Iterator[Any] = _events(text)
    return [
        (_offset(event.start_mark), _node(text, next(events), events))
        for event in events
        if isinstance(event, yaml.DocumentStartEvent)
    ]


def _events(text: str) -> Iterator[Any]:
    parser: Any = _PARSER(text)
    try:
        while parser.check_event():
            yield parser.get_event()
    finally:
        parser.dispose()


def _offset(mark: Any) -> int:
    """Give the place of a mark, that each event of a parser has."""
    offset: int = mark.index
    return offset


def _node(text: str, event: Any, events: Iterator[Any]) -> Node:
    start, end = _offset(event.start_mark), _offset(event.end_mark)
    if isinstance(event, yaml.ScalarEvent):
        if event.style in {"|", ">"}:
            end = _block_end(text, start, end)
        return Leaf(start, end, event.value)
    if isinstance(event, yaml.AliasEvent):
        return Leaf(start, end, None)
    if isinstance(event, yaml.MappingStartEvent):
        return _mapping(text, Mapping(start, end, bool(event.flow_style)), events)
    return _sequence(text, Sequence(start, end, bool(event.flow_style)), events)


def _block_end(text: str, start: int, end: int) -> int:
    """Leave out the last line break of a block, and empty lines that are none of it."""
    written = text[start:end]
    if not _KEEP.match(written):
        return start + len(written.rstrip())
    last = [each.start() for each in _BREAK.finditer(written)][-1:]
    return start + last[0] if last and text[start + last[0] : end].isspace() else end


def _mapping(text: str, mapping: Mapping, events: Iterator[Any]) -> Mapping:
    while not isinstance((event := next(events)), yaml.MappingEndEvent):
        key = _node(text, event, events)
        value = _node(text, next(events), events)
        name = key.text if isinstance(key, Leaf) else None
        mapping.entries.append(Entry(name, key.start, value))
    # The end of a block is only noticed at the next token, beyond blanks and comments.
    mapping.end = _offset(event.end_mark) if mapping.flow else mapping.entries[-1].end
    mapping.live = [*mapping.entries]
    return mapping


def _sequence(text: str, sequence: Sequence, events: Iterator[Any]) -> Sequence:
    while not isinstance((event := next(events)), yaml.SequenceEndEvent):
        sequence.items.append(_node(text, event, events))
    sequence.end = _offset(event.end_mark) if sequence.flow else sequence.items[-1].end
    sequence.live = [*sequence.items]
    return sequence
