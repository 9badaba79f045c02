from __future__ import annotations

from typing import Any

import pytest

from sidecar.injector.splice_flow import Flow
from sidecar.injector.splice_text import with_edits
from sidecar.injector.yaml_tree import Fresh, Sequence, Text, roots


def flow(text: str) -> tuple[Flow, Any, Text]:
    ((_, root),) = roots(text)
    return Flow(Text(text), root), root, Text(text)


def fresh(*values: Any) -> list[Fresh]:
    return [Fresh(None, each) for each in values]


def edited(
    text: str, gone: list[int], runs: list[tuple[int | None, list[Fresh]]]
) -> str:
    writer, root, whole = flow(text)
    there = root.items if isinstance(root, Sequence) else root.entries
    behind = [(None if at is None else there[at], each) for at, each in runs]
    return with_edits(whole, writer.edits(root, there, gone, behind))


LINES = "[\n    1,\n    2\n]\n"


@pytest.mark.parametrize(
    ("text", "gone", "runs", "result"),
    [
        ("[]", [], [(None, fresh(1, "a"))], '[1, "a"]'),
        ("[ ]", [], [(None, fresh({}))], "[{} ]"),
        (
            "[1, 2]",
            [],
            [(None, fresh(0)), (0, []), (1, fresh(3, 4))],
            "[0, 1, 2, 3, 4]",
        ),
        ("[1, 2 ,3]", [0], [], "[2 ,3]"),
        ("[1, 2 ,3]", [0, 1], [], "[3]"),
        ("[1, 2 ,3]", [1], [], "[1 ,3]"),
        ("[1, 2 ,3 ]", [0, 2], [], "[2 ]"),
        ("[ 1, 2 ]", [0, 1], [], "[  ]"),
        ("[1, 2]", [1], [(0, fresh(5))], "[1, 5]"),
        ("[1, 2]", [0], [(None, fresh(5))], "[5, 2]"),
        (LINES, [], [(None, fresh(0))], "[\n    0,\n    1,\n    2\n]\n"),
        (LINES, [], [(1, fresh([3]))], "[\n    1,\n    2,\n    [\n      3\n    ]\n]\n"),
        (
            LINES.replace("\n", "\r\n"),
            [],
            [(1, fresh(3))],
            "[\r\n    1,\r\n    2,\r\n    3\r\n]\r\n",
        ),
        (LINES, [1], [], "[\n    1\n]\n"),
        (LINES, [0], [], "[\n    2\n]\n"),
        ('{"a": 1}', [], [(0, [Fresh("b", "é")])], '{"a": 1, "b": "é"}'),
        ("{a: 1, b: 2}", [0], [(1, [Fresh("c", 0, "c:   3")])], "{b: 2, c:   3}"),
    ],
)
def test_a_collection_is_edited_and_its_commas_with_it(
    text: str,
    gone: list[int],
    runs: list[tuple[int | None, list[Fresh]]],
    result: str,
) -> None:
    assert edited(text, gone, runs) == result


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ('{\n "a": []\n}', 1),
        ('{\n    "a": 1\n}', 4),
        ("{}", 2),
        ('{"a": 1}', 1),
        ("[1]", 2),
    ],
)
def test_json_is_indented_as_the_rest_of_it(text: str, step: int) -> None:
    writer, _, _ = flow(text)
    assert writer.member(Fresh("k", [1]), "") == f'"k": [\n{" " * step}1\n]'
    assert writer.member(Fresh("k", [1]), None) == '"k": [1]'
