from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from sidecar.config.model import Config, Endpoint, Inbound, Listener
from sidecar.redirect.agreement import VARIABLE, disagreements
from tests.redirect.doctor.pods import CONFIG

FIXED = Listener(Endpoint("::", 8443), Endpoint("127.0.0.1", 8080))


def config(*, transparent: bool) -> Config:
    original = Listener(Endpoint("::", 15006), "original", transparent)
    return evolve(CONFIG, inbound=Inbound(listeners=(FIXED, original)))


def said(mode: str, *, transparent: bool) -> list[str]:
    return [str(each) for each in disagreements(config(transparent=transparent), mode)]


def test_what_fits_the_rules_is_well() -> None:
    assert said("tproxy", transparent=True) == said("redirect", transparent=False) == []


def test_where_nobody_says_how_the_rules_are_made_any_listener_will_do() -> None:
    assert said("", transparent=True) == said("", transparent=False) == []


@pytest.mark.parametrize(
    ("mode", "transparent", "remedy"),
    [
        ("tproxy", False, "set it to true, got false"),
        ("redirect", True, "leave it out, got true"),
    ],
)
def test_a_listener_that_does_not_fit_is_named(
    mode: str, *, transparent: bool, remedy: str
) -> None:
    assert said(mode, transparent=transparent) == [
        "inbound.listeners[1].transparent: the rules of this pod are made for"
        f" {mode} (SIDECAR_REDIRECT_INBOUND_MODE): {remedy}"
    ]


def test_rubbish_in_the_variable_is_told_as_apply_tells_it() -> None:
    assert said("TPROXY", transparent=True) == [
        f"{VARIABLE}: one of 'redirect', 'tproxy', got 'TPROXY'"
    ]


@given(st.text(), st.booleans())
def test_any_text_is_judged(mode: str, transparent: bool) -> None:
    found = said(mode, transparent=transparent)
    assert found or mode in {"", "tproxy" if transparent else "redirect"}
