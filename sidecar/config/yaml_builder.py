"""Values out of the events of a YAML parser.

Events, not composed nodes: a policy of 100,000 rules is two million nodes, and
composing them takes six times as long and a gigabyte.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import yaml
from attrs import define

from sidecar.config.document import Items, Scalar, Section, Value
from sidecar.config.place import Finding, Index, Invalid, Place
from sidecar.config.wording import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_DEEPEST: Final = 32
"""The deepest sound file has six levels; this bounds what a bad one can build."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT: Final = re.compile(
    r"[-+]?(?:(?:0|[1-9][0-9]*)?\.[0-9]+(?:[eE][-+]?[0-9]+)?"
    r"|(?:0|[1-9][0-9]*)(?:\.|\.?[eE][-+]?[0-9]+))"
)
_WORDS: Final[dict[str, Scalar]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


@define
class _Open:
    """A collection whose end has not come yet.

    Attributes:
        collection: What it holds so far.
        key: In a mapping, the last key.
        line: The line of that key.
        has_key: Whether the next value belongs to that key.
    """

    collection: Section | Items
    key: Hashable = None
    line: int = 0
    has_key: bool = False


class Builder:
    """Builds values from the events of one YAML stream."""

    def __init__(self) -> None:
        self._root: Value = None
        self._documents = 0
        self._open: list[_Open] = []
        self._again: list[tuple[Place, Section, int]] = []

    def build(self, parser: Any) -> Value:
        """Read all events; None where there is no document, or nothing in it.

        Raises:
            yaml.YAMLError: The text is not YAML.
            Invalid: It is YAML of a kind that is not understood.
        """
        handlers: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._start_mapping,
            yaml.SequenceStartEvent: self._start_sequence,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }
        while (event := parser.get_event()) is not None:
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)
        return self._root

    def duplicates(self) -> tuple[Finding, ...]:
        """Every key that a mapping has twice, once all is read."""
        return tuple(
            Finding(
                place, f"duplicate key, first on line {section.line(place[-1])}", at
            )
            for place, section, at in self._again
        )

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            raise _refused("a second document begins here, expected one", event)

    def _alias(self, event: Any) -> None:
        what = f"aliases are not supported, got {shown(f'*{event.anchor}')}"
        raise _refused(f"{what} (write it out)", event)

    def _scalar(self, event: Any) -> None:
        _refuse_tag(event)
        text: str = event.value
        # PyYAML in Python takes "\ud800", the one in C does not; UTF-8 has none.
        if not text.isascii() and _SURROGATE.search(text):
            raise _refused("half of a surrogate pair is no character", event)
        # implicit[0]: written without quotes, so that it may be other than text.
        self._add(_plain(text) if event.implicit[0] else text, event)

    def _start_mapping(self, event: Any) -> None:
        self._start(Section(), event)

    def _start_sequence(self, event: Any) -> None:
        self._start(Items(), event)

    def _start(self, collection: Section | Items, event: Any) -> None:
        _refuse_tag(event)
        if len(self._open) == _DEEPEST:
            raise _refused(f"nested deeper than {_DEEPEST} levels", event)
        self._add(collection, event)
        self._open.append(_Open(collection))

    def _end(self, _event: Any) -> None:
        self._open.pop()

    def _add(self, value: Value, event: Any) -> None:
        if not self._open:
            self._root = value
            return
        top = self._open[-1]
        collection = top.collection
        if isinstance(collection, Items):
            collection.append(value)
            collection.lines.append(event.start_mark.line + 1)
        elif not top.has_key:
            self._set_key(value, collection, event)
        else:
            top.has_key = False
            if top.key not in collection:
                collection[top.key] = value
                collection.lines.append(top.line)

    def _set_key(self, key: Value, section: Section, event: Any) -> None:
        if isinstance(key, (Section, Items)):
            what = f"a key must be text or a number, got {shown(key)}"
            raise _refused(f"{what} (a template that was not rendered?)", event)
        top = self._open[-1]
        top.key, top.line, top.has_key = key, event.start_mark.line + 1, True
        if key in section:
            self._again.append(((*self._place(), key), section, top.line))

    def _place(self) -> Place:
        """The way to the innermost open collection."""
        return tuple(
            top.key
            if isinstance(top.collection, Section)
            else Index(len(top.collection) - 1)
            for top in self._open[:-1]
        )


def _refuse_tag(event: Any) -> None:
    if event.tag is not None:
        raise _refused(f"tags are not supported, got {shown(event.tag)}", event)


def _refused(what: str, event: Any) -> Invalid:
    return Invalid.on_line(event.start_mark.line + 1, what)


@lru_cache(4096)
def _plain(text: str) -> Scalar:
    """Read a scalar without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
