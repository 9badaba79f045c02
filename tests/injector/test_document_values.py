from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from sidecar.injector.document_values import (
    DocumentError,
    is_json,
    json_starts,
    read_value,
    sentence,
)
from tests.injector.authors import written
from tests.injector.strategies import OBJECTS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2026-01-01", {"a": "2026-01-01"}),
        ("a: 1:30:00", {"a": "1:30:00"}),
        ("a: 0444", {"a": 0o444}),
        ("a: 0x1f", {"a": 31}),
        ("a: -1_000", {"a": -1000}),
        ("a: 1.5", {"a": 1.5}),
        ("a: 1e3", {"a": 1000.0}),
        ("a: .5", {"a": 0.5}),
        ("a: 09", {"a": "09"}),
        ("a: yes", {"a": True}),
        ("a: ~", {"a": None}),
        ("&x a: *x", {"a": "a"}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ('{"a": "\\ud83d\\ude00\\/"}', {"a": "😀/"}),
        ("", None),
        ("# nothing", None),
    ],
)
def test_a_document_says_what_kubectl_would_understand(text: str, value: Any) -> None:
    assert read_value(text) == value


def test_what_an_alias_names_can_change_alone() -> None:
    value = read_value("a: &x {b: [1]}\nc: *x")
    value["a"]["b"].append(2)
    assert value["c"] == {"b": [1]}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [", "line 2: not YAML: did not find expected node content"),
        ("a: 1\n b: 2", "line 2: not YAML: "),
        ("a: !!python/object:os.system x", "line 1: not YAML: could not determine"),
        ("a: \x00", "not YAML: "),
        ("a: " + "[" * 300_000 + "]" * 300_000, "nested too deeply"),
        ("a: " + "1" * 5000, "it has a number that is too long"),
        ("a: &a [*a]", "its aliases stand for more than 1000000 values"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(
                f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n"
                for old, new in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            "its aliases stand for more than 1000000 values",
        ),
    ],
)
def test_what_says_nothing_is_refused(text: str, what: str) -> None:
    with pytest.raises(DocumentError) as error:
        read_value(text)
    assert str(error.value).startswith(what)


@given(OBJECTS, st.integers(0, 2**32))
def test_however_it_is_written_it_says_the_same(value: Any, seed: int) -> None:
    assert read_value(written(value, seed)) == value


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        value = read_value(text)
    except DocumentError:
        return
    assert not is_json(text) or value == json.loads(text)


def test_json_is_what_json_reads() -> None:
    assert is_json(' {"a": 1}\n')
    assert not is_json("{a: 1}")
    assert not is_json("[1]")


def test_an_error_without_a_place_is_a_sentence_too() -> None:
    assert sentence(yaml.YAMLError("a\nb")) == "not YAML: a"


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("{}", [0]),
        (' {"a": 1}\n{"b": {}}{}\n', [1, 10, 19]),
        ("{} x", []),
        ("{} {", []),
        ("", []),
        ("[1]", []),
        ("{} [1]", []),
        ('{"a": ' * 100_000, []),
    ],
)
def test_a_row_of_objects_is_taken_apart(text: str, starts: list[int]) -> None:
    assert json_starts(text) == starts
