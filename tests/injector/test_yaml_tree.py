from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from sidecar.injector.yaml_tree import Leaf, Mapping, Node, Sequence, Text, roots
from tests.injector.authors import written
from tests.injector.strategies import OBJECTS

TEXT = """\
# é😀
key: 'é😀'
block: |
  two
  lines

kept: |+
  two
  lines

list:   # with a comment
  - a
  - [b, c ]
  -
none:
alias: &x {d: e}
? [no, scalar]
: f
again: *x
"""


def root(text: str) -> Any:
    ((_, found),) = roots(text)
    return found


def test_every_value_is_where_the_text_has_it() -> None:
    mapping = root(TEXT)
    members = {entry.key: TEXT[entry.start : entry.end] for entry in mapping.entries}
    assert members == {
        "key": "key: 'é😀'",
        "block": "block: |\n  two\n  lines",
        "kept": "kept: |+\n  two\n  lines\n",
        "list": "list:   # with a comment\n  - a\n  - [b, c ]\n  -",
        "none": "none:",
        "alias": "alias: &x {d: e}",
        None: "[no, scalar]\n: f",
        "again": "again: *x",
    }
    items = mapping.entries[3].value
    assert [TEXT[each.start : each.end] for each in items.items] == ["a", "[b, c ]", ""]
    assert [each.text for each in items.items[1].items] == ["b", "c"]
    assert (items.flow, items.items[1].flow) == (False, True)
    assert mapping.entries[-1].value.text is None


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a: |+\n  b", "|+\n  b"),
        ("a: |+\n  b\n", "|+\n  b"),
        ("a: |\n  b", "|\n  b"),
        ("a: >2+\n    b\n\n\nc: d", ">2+\n    b\n\n"),
    ],
)
def test_a_block_ends_with_what_belongs_to_it(text: str, written: str) -> None:
    value = root(text).entries[0].value
    assert text[value.start : value.end] == written


def test_each_document_has_its_beginning() -> None:
    text = "# a\nb: c\n---\nd: e\n...\n# f\n---\n"
    found = roots(text)
    assert [text[start : start + 3] for start, _ in found] == ["b: ", "---", "---"]
    assert isinstance(found[2][1], Leaf)


def test_what_is_no_yaml_is_refused() -> None:
    with pytest.raises(yaml.YAMLError):
        roots("a: [")


def plain(node: Node) -> Any:
    if isinstance(node, Mapping):
        return {str(entry.key): plain(entry.value) for entry in node.entries}
    if isinstance(node, Sequence):
        return [plain(each) for each in node.items]
    return node.text


def texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: texts(each) for key, each in value.items()}
    return [*map(texts, value)] if isinstance(value, list) else str(value)


@given(OBJECTS.filter(lambda value: "None" not in repr(value)), st.integers(0, 2**32))
def test_a_tree_has_all_that_the_text_says(value: Any, seed: int) -> None:
    assert plain(root(written(value, seed))) == texts(value)


def test_a_text_knows_its_lines() -> None:
    text = Text("ab\r\nc\n\nd")
    assert text.newline == "\r\n"
    assert Text("a").newline == "\n"
    places = [0, 1, 3, 4, 5, 6, 7, 8]
    assert [text.line_start(each) for each in places] == [0, 0, 0, 4, 4, 6, 7, 7]
    assert [text.line_end(each) for each in places] == [4, 4, 4, 6, 6, 7, 8, 8]
    assert [text.line_number(each) for each in places] == [1, 1, 1, 2, 2, 3, 4, 4]
    assert text.column(5) == 1
