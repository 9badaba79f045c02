from __future__ import annotations

from typing import Any

import pytest
import yaml

from sidecar.injector.splice_render import PlainDumper, rendered
from sidecar.injector.splice_text import Unspliceable
from sidecar.injector.yaml_tree import Fresh, Sequence, roots


def tree(text: str) -> Any:
    ((_, root),) = roots(text)
    return root


def test_a_tree_that_nobody_edited_is_its_text() -> None:
    text = "a: 1 # one\nb:\n- {c: [d]}\n-\n"
    assert rendered(text, tree(text)) == text
    assert rendered("x", tree("x")) == "x"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("a:\n- 1\n", "a:\n- 1\nx:\n  y:\n  - true\n"),
        ("a:\n  - 1\n", "a:\n  - 1\nx:\n  y:\n    - true\n"),
        ("a: {b: [1]}\n", "a: {b: [1]}\nx:\n  y:\n  - true\n"),
        (
            "a: [1]\nb:\n  c:\n    - 1\n",
            "a: [1]\nb:\n  c:\n    - 1\nx:\n  y:\n    - true\n",
        ),
        ("a: &x\n  - b\n", "a: &x\n  - b\nx:\n  y:\n    - true\n"),
        ("- a:\n  - 1\n", None),
        ("  a: 1\n", "  a: 1\n  x:\n    y:\n    - true\n"),
        ("a: |\n  b\n\n\n# c\n", "a: |\n  b\nx:\n  y:\n  - true\n\n\n# c\n"),
        ("a: |+\n  b\n\n# c\n", "a: |+\n  b\n\nx:\n  y:\n  - true\n# c\n"),
        ("a: 'b\n  c' # d\n", "a: 'b\n  c' # d\nx:\n  y:\n  - true\n"),
    ],
)
def test_what_is_new_is_written_as_the_text_around_it(
    text: str, result: str | None
) -> None:
    root = tree(text)
    mapping: Any = root.items[0] if isinstance(root, Sequence) else root
    mapping.live.append(Fresh("x", {"y": [True]}))
    expected = result or "- a:\n  - 1\n  x:\n    y:\n    - true\n"
    assert rendered(text, root) == expected


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("- 1\n", "- 0\n- 1\n"),
        ("# a\n- 1\n", "- 0\n# a\n- 1\n"),
        ("a:\n\n  # b\n\n  - 1\n", "a:\n  - 0\n\n  # b\n\n  - 1\n"),
        ("a: # b\n- 1\n", "a: # b\n- 0\n- 1\n"),
        ("-\n  a: 1\n", "- 0\n-\n  a: 1\n"),
        ("- # b\n  a: 1\n", "- 0\n- # b\n  a: 1\n"),
        ("-\n\n  # - no\n  a: 1\n", "- 0\n-\n\n  # - no\n  a: 1\n"),
    ],
)
def test_what_comes_first_comes_before_the_comments_of_what_was_first(
    text: str, result: str
) -> None:
    root = tree(text)
    items = root if isinstance(root, Sequence) else root.entries[0].value
    items.live.insert(0, Fresh(None, 0))
    assert rendered(text, root) == result


@pytest.mark.parametrize(
    ("text", "at", "result"),
    [
        ("a: 1\nb:\n  c: d\n  # e\nf: g\n", 1, "a: 1\n  # e\nf: g\n"),
        ("- 1\n-\n  a: b\n- 3\n", 1, "- 1\n- 3\n"),
        ("- a: |\n    b\n\n- c\n", 0, "\n- c\n"),
    ],
)
def test_what_goes_takes_its_lines_with_it(text: str, at: int, result: str) -> None:
    root = tree(text)
    del root.live[at]
    assert rendered(text, root) == result


@pytest.mark.parametrize(
    ("text", "fresh", "result"),
    [
        ("a: 1 # b\n", Fresh("c", [1]), "c:\n- 1 # b\n"),
        ("a: {x: y} # b\n", Fresh("c d", {"e": 1}), 'c d: {"e": 1} # b\n'),
        ("{a: 1} # b\n", Fresh("c", {"e": 1}), '{"c": {"e": 1}} # b\n'),
        ("a: 1 # b\n", Fresh("c", 1, "c:   [ 1 ]"), "c:   [ 1 ] # b\n"),
        ("a: |\n  b\n", Fresh("c", {}), "c: {}\n"),
        ("a: 1\r\n", Fresh("c", {"d": 1, "e": 2}), "c:\r\n  d: 1\r\n  e: 2\r\n"),
    ],
)
def test_what_takes_the_place_of_another_is_written_like_it(
    text: str, fresh: Fresh, result: str
) -> None:
    root = tree(text)
    root.entries[0].instead = fresh
    assert rendered(text, root) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("a:\n  b: 1\nc: 2\n", "a: {}\nc: 2\n"),
        ("a:\n- 1\n- 2\nc: 2\n", "a: []\nc: 2\n"),
        ("a: {b: 1}\nc: 2\n", "a: {}\nc: 2\n"),
    ],
)
def test_what_is_empty_now_is_written_so(text: str, result: str) -> None:
    root = tree(text)
    root.entries[0].value.live.clear()
    assert rendered(text, root) == result


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("- - 1\n  - 2\n", "two parts of it begin on one line"),
        ("- a: 1\n  b: 2\n", "two parts of it begin on one line"),
        ("- &x\n    - 1\n    - 2\n", "an item without a dash"),
    ],
)
def test_what_is_not_written_line_by_line_is_not_edited(text: str, what: str) -> None:
    root = tree(text)
    del root.items[0].live[0]
    with pytest.raises(Unspliceable, match=what):
        rendered(text, root)


def test_a_block_that_is_the_whole_text_cannot_be_empty() -> None:
    root = tree("a: 1\n")
    root.live.clear()
    with pytest.raises(Unspliceable, match="everything in a block went"):
        rendered("a: 1\n", root)


def test_what_is_in_brackets_after_a_dash_is_edited_there() -> None:
    root = tree("--- {a: 1} # b\n")
    root.live.append(Fresh("x", 1))
    assert rendered("--- {a: 1} # b\n", root) == '--- {a: 1, "x": 1} # b\n'


def test_what_was_written_before_is_written_so_again() -> None:
    root = tree("a:\n  b: 1\n")
    root.entries[0].value.live.append(Fresh("c", 1, "c:   0x1"))
    assert rendered("a:\n  b: 1\n", root) == "a:\n  b: 1\n  c:   0x1\n"


def test_what_is_the_same_is_written_twice() -> None:
    same = {"a": 1}
    assert yaml.dump([same, same], Dumper=PlainDumper) == "- a: 1\n- a: 1\n"
