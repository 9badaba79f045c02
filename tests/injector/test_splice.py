from __future__ import annotations

from typing import Any

import pytest

from sidecar.injector.splice import member_texts, spliced
from sidecar.injector.splice_text import Unspliceable

BLOCK = """\
# before
a: 1   # one
# of b
b:
  # first
  - name: x
    y: {z: 1}  # z
  # second
  - name: w
  # after
c:     # nothing
# end
"""


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def remove(path: str) -> dict[str, Any]:
    return {"op": "remove", "path": path}


@pytest.mark.parametrize(
    ("operations", "old", "new"),
    [
        ([], "", ""),
        (
            [add("/d", {"e": [1]})],
            "c:     # nothing\n",
            "c:     # nothing\nd:\n  e:\n    - 1\n",
        ),
        ([add("/d", {}), add("/d/e", "no")], "# end", "d:\n  e: 'no'\n# end"),
        ([add("/d", {}), add("/d/e", 1), remove("/d/e"), remove("/d")], "", ""),
        ([add("/d", 1), replace("/d", 2)], "# end", "d: 2\n# end"),
        (
            [add("/d", {}), add("/d/e", []), add("/d/e/-", {}), add("/d/e/0/f", 1)],
            "# end",
            "d:\n  e:\n    - f: 1\n# end",
        ),
        ([add("/d", []), add("/d/-", {"e": 1})], "# end", "d:\n  - e: 1\n# end"),
        ([add("/b/0", {"n": 1, "m": 2})], "b:\n", "b:\n  - n: 1\n    m: 2\n"),
        ([add("/b/0", {"n": 1}), remove("/b/0")], "", ""),
        ([add("/b/-", {"n": 1})], "w\n", "w\n  - n: 1\n"),
        ([add("/b/1", 5)], "# z\n", "# z\n  - 5\n"),
        ([remove("/b/0")], "  - name: x\n    y: {z: 1}  # z\n", ""),
        ([remove("/b/1")], "  - name: w\n", ""),
        (
            [remove("/b/1"), add("/b/-", 1)],
            "  # second\n  - name: w\n",
            "  - 1\n  # second\n",
        ),
        (
            [remove("/b/1"), remove("/b/0")],
            BLOCK[BLOCK.index("b:") : BLOCK.index("  # after")],
            "b: []\n",
        ),
        ([remove("/b")], BLOCK[BLOCK.index("b:") : BLOCK.index("  # after")], ""),
        ([replace("/c", {})], "c:     #", "c: {}     #"),
        ([replace("/c", {}), add("/c/d", 1)], "c:     #", "c:\n  d: 1     #"),
        ([replace("/a", None)], "a: 1", "a: null"),
        (
            [replace("/b", [])],
            BLOCK[BLOCK.index("b:") : BLOCK.index("  # after")],
            "b: []  # z"[:-5] + "\n",
        ),
        ([replace("/b/0/y", {"q": "é"})], "y: {z: 1}", 'y: {"q": "é"}'),
        ([replace("/b/0/y/z", {"q": 2})], "{z: 1}", '{"z": {"q": 2}}'),
        ([remove("/b/0/y"), add("/b/0/k", 1)], "y: {z: 1}", "k: 1"),
        (
            [remove("/b/0/y"), add("/b/1/k", 1)],
            "    y: {z: 1}  # z\n  # second\n  - name: w\n",
            "  # second\n  - name: w\n    k: 1\n",
        ),
        ([add("/b/0/y/k", [1])], "{z: 1}", '{z: 1, "k": [1]}'),
        ([remove("/b/0/y/z")], "{z: 1}", "{}"),
    ],
)
def test_only_what_is_meant_is_written_anew(
    operations: list[dict[str, Any]], old: str, new: str
) -> None:
    assert spliced(BLOCK, operations) == BLOCK.replace(old, new, 1)


def test_what_was_written_otherwise_before_is_so_again() -> None:
    source = {"/b/0/y": "y:   {z: 2}", "/d": "d:\n     - e", "/b/0/y2": "y2: 3"}
    assert spliced(BLOCK, [replace("/b/0/y", {"z": 2})], source) == BLOCK.replace(
        "y: {z: 1}", "y:   {z: 2}"
    )
    assert spliced(BLOCK, [add("/d", ["e"])], source) == BLOCK.replace(
        "# end", "d:\n     - e\n# end"
    )


def test_an_entry_that_is_renamed_can_be_found_by_its_new_name() -> None:
    operations = [remove("/a"), add("/z", {}), add("/z/y", 1), replace("/z", {"x": 1})]
    assert spliced("a: 1\nb: 2\n", operations) == "z:\n  x: 1\nb: 2\n"


def test_the_text_of_members_is_given_by_their_paths() -> None:
    operations = [
        add("/d", {}),
        add("/d/e", 1),
        replace("/b/0/y", 1),
        remove("/a"),
        replace("/c", {}),
        replace("/c", 1),
        remove("/d/e"),
        remove("/d"),
        remove("/b/0"),
    ]
    assert member_texts(BLOCK, operations) == {
        "/b/0/y": "y: {z: 1}",
        "/a": "a: 1",
        "/c": "c:",
    }


@pytest.mark.parametrize(
    ("text", "operation", "what"),
    [
        ("a: 1\n---\nb: 2\n", add("/c", 1), "not one document"),
        ("a: &x {}\nb: *x\n", add("/b/c", 1), "b is an alias"),
        ("a: &x {b: {}}\nc: {<<: *x}\n", add("/c/b/d", 1), "b is not written"),
        ("a: [1]\n", replace("/a/0", 2), "an item in the place of another"),
    ],
)
def test_what_is_not_written_so_is_not_edited(
    text: str, operation: dict[str, Any], what: str
) -> None:
    with pytest.raises(Unspliceable, match=what):
        spliced(text, [operation])
