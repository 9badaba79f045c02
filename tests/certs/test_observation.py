"""What an endpoint did, and what that means."""

from __future__ import annotations

import pytest

from sidecar.certs.conformance import CASES
from sidecar.certs.observation import (
    BAD,
    GOOD,
    Controls,
    End,
    Judged,
    Observation,
    hopeless,
)
from sidecar.telemetry.labels import Reason

BY_NAME = {case.name: case for case in CASES}

ALERT = Observation(End.ALERT, "unknown_ca")


def controls(good: End, bad: End = End.ALERT) -> Controls:
    return Controls(Observation(good, tls="TLSv1.3"), Observation(bad, tls="TLSv1.3"))


def test_the_controls_are_cases_that_any_endpoint_agrees_about() -> None:
    assert BY_NAME[GOOD].accepted
    assert BY_NAME[BAD].reason is Reason.UNTRUSTED_CHAIN


def test_an_observation_says_which_alert() -> None:
    assert str(ALERT) == "alert unknown_ca"
    assert str(Observation(End.OPEN)) == "open"


@pytest.mark.parametrize("end", [End.ALERT, End.RESET, End.OTHER_ANSWER])
@pytest.mark.parametrize("good", [End.ANSWERED, End.OPEN, End.CLOSED])
def test_an_alert_a_reset_and_another_answer_are_refusals(end: End, good: End) -> None:
    assert controls(good).accepted(Observation(end)) is False


@pytest.mark.parametrize("end", [End.TIMEOUT, End.FAILED, End.UNREACHABLE])
def test_no_handshake_is_neither(end: End) -> None:
    assert controls(End.OPEN).accepted(Observation(end)) is None


@pytest.mark.parametrize("good", [End.ANSWERED, End.OPEN, End.CLOSED])
def test_an_answer_is_acceptance(good: End) -> None:
    assert controls(good).accepted(Observation(End.ANSWERED)) is True


def test_a_close_means_what_it_means_for_a_good_certificate() -> None:
    closed = Observation(End.CLOSED)
    assert controls(End.CLOSED).accepted(closed) is True
    assert controls(End.ANSWERED).accepted(closed) is False
    assert controls(End.OPEN).accepted(closed) is False


def test_silence_is_acceptance_unless_a_good_certificate_is_answered() -> None:
    silent = Observation(End.OPEN)
    assert controls(End.OPEN).accepted(silent) is True
    assert controls(End.CLOSED).accepted(silent) is True
    assert controls(End.ANSWERED).accepted(silent) is None


@pytest.mark.parametrize("end", [End.ALERT, End.RESET, End.OTHER_ANSWER])
def test_an_endpoint_that_refuses_everything_teaches_nothing(end: End) -> None:
    problem = controls(end).problem
    assert problem is not None
    assert f"got: {end}" in problem
    assert "does the endpoint trust the bundles" in problem


@pytest.mark.parametrize(
    ("good", "why"),
    [
        (Observation(End.UNREACHABLE, "no route to host"), "got: no route to host"),
        (Observation(End.UNREACHABLE), "must accept connections, got: none"),
        (Observation(End.FAILED, "wrong version number"), "must speak TLS, got: wrong"),
        (Observation(End.TIMEOUT), "must answer within --timeout, got: silence"),
        (Observation(End.CLOSED), "got: closed before it was done"),
    ],
)
def test_one_that_does_no_handshake_is_told_that_and_nothing_of_bundles(
    good: Observation, why: str
) -> None:
    problem = Controls(good, good).problem
    assert problem is not None
    assert why in problem
    assert "bundles" not in problem
    assert hopeless(Observation(End.CLOSED, tls="TLSv1.3")) is None


def test_nor_does_one_that_closes_everything() -> None:
    problem = controls(End.CLOSED, End.CLOSED).problem
    assert problem is not None
    assert "--send" in problem
    assert controls(End.CLOSED, End.CLOSED).warning is None


def test_one_that_accepts_everything_is_warned_of() -> None:
    for end in (End.OPEN, End.ANSWERED):
        assert controls(end, end).problem is None
        assert "verifies nothing" in str(controls(end, end).warning)


@pytest.mark.parametrize("good", [End.ANSWERED, End.OPEN, End.CLOSED])
def test_one_that_refuses_a_forgery_is_sound(good: End) -> None:
    assert controls(good).problem is None
    assert controls(good).warning is None


@pytest.mark.parametrize(
    ("name", "accepted", "right"),
    [
        (GOOD, True, True),
        (GOOD, False, False),
        (GOOD, None, False),
        (BAD, False, True),
        (BAD, True, False),
        (BAD, None, False),
    ],
)
def test_what_is_unclear_is_never_right(
    name: str, accepted: bool | None, right: bool
) -> None:
    judged = Judged(BY_NAME[name], ALERT, accepted)
    assert judged.as_the_standard_says is right
