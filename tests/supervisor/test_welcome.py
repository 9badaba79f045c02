from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, strategies as st

from sidecar.config.check import Checked
from sidecar.config.model import (
    ORIGINAL,
    Config,
    Endpoint,
    Identity,
    Inbound,
    Listener,
    LogLevel,
)
from sidecar.policy.model import Policy
from sidecar.supervisor.frames import FrameError
from sidecar.supervisor.welcome import Inherited, Welcome
from sidecar.telemetry.labels import Direction
from tests.supervisor.test_frames import VALUES

ENDPOINTS = st.builds(Endpoint, st.text(), st.integers(0, 65535))
INHERITED = st.builds(
    Inherited,
    st.sampled_from(Direction),
    st.builds(Listener, ENDPOINTS, ENDPOINTS | st.just(ORIGINAL), st.booleans()),
    st.integers(0, 1000),
)
WELCOMES = st.builds(
    Welcome,
    st.lists(INHERITED).map(tuple),
    st.sampled_from(LogLevel),
    st.dictionaries(st.text(), st.integers()),
)


@given(WELCOMES)
def test_what_is_written_comes_back(welcome: Welcome) -> None:
    assert Welcome.from_value(json.loads(json.dumps(welcome.to_value()))) == welcome


@given(WELCOMES, st.sampled_from(["inherited", "level", "generations"]), VALUES)
def test_any_value_is_a_welcome_or_a_frame_error(
    welcome: Welcome, field: str, value: Any
) -> None:
    for each in (value, welcome.to_value() | {field: value}):
        with contextlib.suppress(FrameError):
            Welcome.from_value(each)


@pytest.mark.parametrize("goes", [None, "elsewhere", ["a"], ["a", "b"], [1, 1]])
def test_a_destination_that_is_none_is_refused(goes: Any) -> None:
    row = ["inbound", ["::", 1], goes, 5, False]
    value = {"inherited": [row], "level": "info", "generations": {}}
    with pytest.raises(FrameError, match="a destination"):
        Welcome.from_value(value)


def test_listeners_are_those_that_the_supervisor_began_with() -> None:
    changed = Listener(Endpoint("::", 1), ORIGINAL)
    config = Config(
        Identity(Path("a"), Path("b"), {}),
        inbound=Inbound((changed,)),
        policy=None,
    )
    checked = Checked(config, Policy(), cast("Any", None), ())
    ours, theirs = (
        Listener(Endpoint("127.0.0.1", port), Endpoint("a.test", 1)) for port in (5, 6)
    )
    welcome = Welcome(
        (
            Inherited(Direction.INBOUND, ours, 7),
            Inherited(Direction.OUTBOUND, theirs, 8),
        ),
        LogLevel.INFO,
        {},
    )
    applied = welcome.applied_to(checked).config
    assert applied.inbound.listeners == (ours,)
    assert applied.outbound.listeners == (theirs,)
    assert applied.identity is config.identity
