from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.supervisor.family import KINDS, Family
from sidecar.supervisor.frames import FrameError
from tests.supervisor.test_frames import VALUES

LABELS = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)
KEYS = st.tuples(st.text(max_size=5), LABELS.map(lambda labels: tuple(labels.items())))
FAMILIES = st.builds(
    Family,
    name=st.text(max_size=5),
    kind=st.sampled_from(KINDS),
    about=st.text(max_size=5),
    series=st.dictionaries(KEYS, st.floats(allow_nan=False), max_size=4),
)


@given(FAMILIES)
def test_what_is_written_comes_back(family: Family) -> None:
    assert Family.from_value(json.loads(json.dumps(family.to_value()))) == family


@given(VALUES | st.lists(VALUES, min_size=4, max_size=4))
def test_any_value_is_a_family_or_a_frame_error(value: Any) -> None:
    with contextlib.suppress(FrameError):
        Family.from_value(value)


@pytest.mark.parametrize(
    "row",
    [
        None,
        ["a", {}],
        ["a", {"b": 1}, 1],
        ["a", {}, "1"],
        ["a", {}, 10**400],
        [1, {}, 1],
    ],
)
def test_a_row_that_is_no_series_is_refused(row: Any) -> None:
    with pytest.raises(FrameError, match="a series"):
        Family.from_value(["a", "counter", "", [row]])


def test_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(FrameError, match="a metric"):
        Family.from_value(["a", "summary", "", []])
