from __future__ import annotations

import pytest

from sidecar.injector.splice_text import Edit, Unspliceable, with_edits
from sidecar.injector.yaml_tree import Text


@pytest.mark.parametrize(
    ("text", "edits", "result"),
    [
        ("abc", [], "abc"),
        ("a\nc\n", [(2, 2, "b\n")], "a\nb\nc\n"),
        ("a\nb\n", [(2, 4, "")], "a\n"),
        ("a\nb\n", [(2, 3, "x"), (0, 1, "y")], "y\nx\n"),
        ("a\n", [(2, 2, "b\n"), (2, 2, "c\n")], "a\nb\nc\n"),
        # Without an end of its last line, before and after.
        ("a", [(1, 1, "b\n")], "a\nb"),
        ("a\r\nc", [(4, 4, "b\r\n")], "a\r\nc\r\nb"),
        ("a\nb", [(2, 3, "")], "a"),
        ("a\nb\nc", [(2, 4, ""), (4, 5, "")], "a"),
        ("a\nb\nc", [(0, 2, ""), (4, 5, "d")], "b\nd"),
        ("a\nb", [(2, 3, "x")], "a\nx"),
        ("{}", [(1, 1, "a")], "{a}"),
        ("{a}", [(1, 2, "")], "{}"),
        ("a", [(0, 1, "")], ""),
    ],
)
def test_all_edits_are_made_at_once(text: str, edits: list[Edit], result: str) -> None:
    assert with_edits(Text(text), edits) == result


def test_two_changes_of_one_part_are_refused() -> None:
    with pytest.raises(Unspliceable, match="two changes at one place"):
        with_edits(Text("abc\n"), [(0, 2, "x"), (1, 3, "")])
