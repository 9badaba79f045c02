from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from sidecar.config.model import LogLevel
from sidecar.supervisor.family import Family
from sidecar.supervisor.frames import FrameError
from sidecar.supervisor.report import Report
from tests.supervisor.test_family import FAMILIES
from tests.supervisor.test_frames import VALUES

if TYPE_CHECKING:
    from sidecar.supervisor.family import Key

REPORTS = st.builds(
    Report,
    awaited=st.lists(st.text()).map(tuple),
    warnings=st.dictionaries(st.text(), st.text()),
    accepting=st.booleans(),
    level=st.sampled_from(LogLevel),
    families=st.lists(FAMILIES, max_size=2).map(tuple),
)


@given(REPORTS)
def test_what_is_written_comes_back(report: Report) -> None:
    assert Report.from_value(json.loads(json.dumps(report.to_value()))) == report


@given(VALUES)
def test_any_value_is_a_report_or_a_frame_error(value: Any) -> None:
    with pytest.raises(FrameError, match="report: expected "):
        Report.from_value(value)


@given(
    REPORTS,
    st.sampled_from(["awaited", "warnings", "accepting", "level", "families"]),
    VALUES,
)
def test_any_field_that_is_something_else_is_refused_or_read(
    report: Report, field: str, value: Any
) -> None:
    with contextlib.suppress(FrameError):
        Report.from_value(report.to_value() | {field: value})


def test_generations_are_those_that_are_counted() -> None:
    name = "sidecar_generation"
    series: dict[Key, float] = {
        (name, (("what", "config"),)): 1.0,
        (name, (("what", "policy"),)): 4.0,
        (name, (("x", "y"),)): 9.0,
    }
    report = Report(
        warnings={},
        accepting=True,
        level=LogLevel.INFO,
        families=(
            Family(name, "gauge", "", series),
            Family("a", "gauge", "", {}),
        ),
    )
    assert report.generations == {"config": 1, "policy": 4}
