from __future__ import annotations

import json
import math
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from sidecar.config.place import Invalid
from sidecar.config.yaml_builder import Builder


def built(text: str) -> Any:
    return Builder().build(yaml.SafeLoader(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("8080", 8080),
        ("-1", -1),
        ("+5", 5),
        ("1.3", 1.3),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.5e-3", 0.0015),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        # Text in YAML 1.2, and traps in YAML 1.1.
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("010", "010"),
        ("0x1f", "0x1f"),
        ("0o17", "0o17"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("22:22", "22:22"),
        ("2026-01-02", "2026-01-02"),
        ("=", "="),
        # Too large to be meant as a number, and slow to convert.
        ("9" * 5000, "9" * 5000),
        ("1.2.3", "1.2.3"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("'8080'", "8080"),
        ('"true"', "true"),
        ("''", ""),
    ],
)
def test_a_scalar_is_what_the_core_schema_says(text: str, value: object) -> None:
    result = built(f"a: {text}")["a"]
    assert result == value
    assert type(result) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(built("a: .nan")["a"])


def test_half_a_character_is_refused() -> None:
    with pytest.raises(Invalid, match="half of a surrogate pair"):
        built('a: "\\ud800"')
    assert built('a: "\\u00e9\\U0001f600"') == {"a": "é\U0001f600"}


def test_a_merge_key_is_a_key_like_any_other() -> None:
    assert built("<<: {a: 1}") == {"<<": {"a": 1}}


def test_mappings_and_lists_know_their_lines() -> None:
    root = built("a: 1\nb:\n  c: [x,\n    y]\n  d:\n  - e: 2\n")
    assert root.lines == [1, 2]
    assert root["b"].lines == [3, 5]
    assert root["b"]["c"].lines == [3, 4]
    assert root["b"]["d"].lines == [6]
    assert root["b"]["d"][0].lines == [6]


def test_a_duplicate_below_a_list_says_its_whole_place() -> None:
    builder = Builder()
    builder.build(yaml.SafeLoader("a:\n- b\n- c: 1\n  d: {}\n  c: 2\n"))
    (finding,) = builder.duplicates()
    assert [getattr(step, "at", step) for step in finding.place] == ["a", 1, "c"]
    assert finding.line == 5


# Without DEL, which JSON does not escape, and what JSON writes as two surrogates.
TEXTS = st.text(
    st.characters(codec="utf-8", max_codepoint=0xFFFF, exclude_characters="\x7f"),
    max_size=20,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=10,
)


@given(VALUES)
def test_what_json_writes_is_read_back(value: object) -> None:
    assert built(json.dumps(value)) == value
