from __future__ import annotations

from typing import Any

import jsonpatch
import pytest
from hypothesis import given, strategies as st

from sidecar.injector.operations import applied, pointer, split

DOCUMENT: dict[str, Any] = {"a/b": {"c~d": 1}, "list": [{"x": 1}, 2, 3]}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/new", "value": {"y": []}},
        {"op": "add", "path": "/a~1b/new", "value": None},
        {"op": "replace", "path": "/a~1b/c~0d", "value": 2},
        {"op": "remove", "path": "/a~1b/c~0d"},
        {"op": "add", "path": "/list/0", "value": 0},
        {"op": "add", "path": "/list/-", "value": 4},
        {"op": "replace", "path": "/list/1", "value": 5},
        {"op": "remove", "path": "/list/2"},
        {"op": "remove", "path": "/list/0/x"},
    ],
)
def test_an_operation_does_what_another_library_does(operation: dict[str, Any]) -> None:
    before = repr(DOCUMENT)
    expected = jsonpatch.JsonPatch([operation]).apply(DOCUMENT)
    assert applied(DOCUMENT, [operation]) == expected
    assert repr(DOCUMENT) == before


def test_what_was_added_is_not_shared() -> None:
    value: dict[str, Any] = {}
    done = applied(
        {},
        [
            {"op": "add", "path": "/a", "value": value},
            {"op": "add", "path": "/a/b", "value": 1},
        ],
    )
    assert (done, value) == ({"a": {"b": 1}}, {})


@given(st.lists(st.text()).map(tuple))
def test_a_pointer_is_read_as_it_was_written(tokens: tuple[str, ...]) -> None:
    assert split(pointer(tokens)) == tokens
