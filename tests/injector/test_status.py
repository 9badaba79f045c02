from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from sidecar import __version__
from sidecar.injector.status import Status, StatusError, parse_status, with_texts

NAMES = st.lists(st.text(max_size=9), max_size=3)
STATUSES = st.builds(
    Status,
    st.fixed_dictionaries(
        dict.fromkeys(
            (
                "containers",
                "initContainers",
                "volumes",
                "imagePullSecrets",
                "labels",
                "annotations",
            ),
            NAMES,
        )
    ),
    st.dictionaries(st.text(), st.sampled_from([None, [], {}])),
    st.dictionaries(
        st.text(), st.dictionaries(st.text(), st.text(), min_size=1, max_size=1)
    ),
    st.dictionaries(st.text(), st.text()),
)


@given(STATUSES)
def test_what_is_written_is_read(status: Status) -> None:
    assert parse_status(status.render()) == status


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(StatusError):
        parse_status(text)


def test_it_says_which_version_wrote_it_and_nothing_that_is_empty() -> None:
    assert json.loads(Status({"volumes": ["a"], "labels": []}).render()) == {
        "format": 1,
        "version": __version__,
        "volumes": ["a"],
    }


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ([], "expected an object"),
        ({}, "expected format 1"),
        ({"format": 2}, "expected format 1"),
        ({"format": 1, "volumes": "a"}, "volumes: expected a list of names"),
        ({"format": 1, "volumes": [1]}, "volumes: expected a list of names"),
        ({"format": 1, "was": []}, "was: expected an object"),
        ({"format": 1, "was": {"/a": 1}}, "was: expected an object"),
        ({"format": 1, "handlers": {"a": {}}}, "handlers: expected an object"),
        ({"format": 1, "handlers": {"a": 1}}, "handlers: expected an object"),
        ({"format": 1, "source": {"a": 1}}, "source: expected an object"),
    ],
)
def test_what_injection_never_wrote_is_refused(value: Any, what: str) -> None:
    with pytest.raises(StatusError, match=what):
        parse_status(json.dumps(value))


def test_nesting_without_end_is_no_json() -> None:
    with pytest.raises(StatusError, match="not JSON"):
        parse_status("[" * 100_000)


@given(STATUSES, st.text())
def test_texts_of_a_file_that_are_of_use_can_be_added_to_it(
    status: Status, text: str
) -> None:
    known = {*status.handlers, *status.was}
    added = dict.fromkeys([*known, "nobody asks for it"], text)
    told = parse_status(with_texts(status.render(), added))
    assert told == evolve(
        status, source={**status.source, **dict.fromkeys(known, text)}
    )
