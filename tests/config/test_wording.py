from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from sidecar.config.document import Items, Section
from sidecar.config.wording import quoted, shown, shown_path, suggestion

MODES = ("strict", "permissive", "disabled")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        (False, "false"),
        (8080, "8080"),
        (1.5, "1.5"),
        (math.nan, "nan"),
        ("strict", "'strict'"),
        ("it's", '"it\'s"'),
        ("a\nb", "'a\\nb'"),
        ("\x1b[31m", "'\\x1b[31m'"),
        ("x" * 81, f"'{'x' * 80}'..."),
        (Section(), "a mapping"),
        (Items(), "a list"),
    ],
)
def test_a_value_is_shown_as_its_author_knows_it(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_key_that_was_pasted_is_never_shown() -> None:
    assert shown("-----BEGIN PRIVATE KEY-----\nMIIE") == "PEM text"


@given(st.text())
def test_any_text_is_shown_on_one_short_printable_line(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text)) < 1000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("srtict", " (did you mean 'strict'?)"),
        ("STRICT", " (did you mean 'strict'?)"),
        ("permisive", " (did you mean 'permissive'?)"),
        ("mtls", ""),
        ("", ""),
        (8080, ""),
        (None, ""),
        ("strict" * 100, ""),
    ],
)
def test_a_suggestion_is_made_for_a_slip_only(value: object, text: str) -> None:
    assert suggestion(value, MODES) == text


def test_other_people_s_spelling_of_a_key_is_understood() -> None:
    assert suggestion("trust-bundles", ["trust_bundles"]) == (
        " (did you mean 'trust_bundles'?)"
    )
    assert suggestion("trustBundles", ["trust_bundles"]) == (
        " (did you mean 'trust_bundles'?)"
    )


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/run/sidecar/tls.key", "/run/sidecar/tls.key"),
        ("a b", "a b"),
        ("a\nb", "'a\\nb'"),
        ("x" * 300, f"'{'x' * 80}'..."),
    ],
)
def test_a_path_is_shown_as_it_is_where_that_is_safe(path: str, text: str) -> None:
    assert shown_path(Path(path)) == text


def test_options_are_quoted_in_their_order() -> None:
    assert quoted(MODES) == "'strict', 'permissive', 'disabled'"
