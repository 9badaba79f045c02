from __future__ import annotations

import pytest

from sidecar.admin.readiness import Readiness


@pytest.fixture
def readiness() -> Readiness:
    return Readiness(["identity", "policy"])


def test_everything_is_awaited_at_first(readiness: Readiness) -> None:
    assert not readiness.ready
    assert readiness.pending() == ("identity", "policy")
    assert readiness.body() == "identity\npolicy"


def test_it_is_ready_when_everything_is_done(readiness: Readiness) -> None:
    readiness.done("identity")
    assert not readiness.ready
    readiness.done("policy")
    readiness.done("policy")
    assert readiness.ready
    assert readiness.body() == "ready"


def test_a_failure_says_why_until_it_is_mended(readiness: Readiness) -> None:
    readiness.done("policy")
    readiness.failed("identity", "the SVID has expired")
    assert readiness.body() == "identity: the SVID has expired"
    readiness.done("identity")
    assert readiness.ready
    readiness.failed("identity", "the SVID has expired")
    assert not readiness.ready


def test_a_drain_ends_it_for_good(readiness: Readiness) -> None:
    readiness.done("identity")
    readiness.done("policy")
    assert not readiness.draining
    readiness.drain()
    readiness.done("policy")
    assert readiness.draining
    assert not readiness.ready
    assert readiness.body() == "draining"


def test_a_drain_before_it_is_ready_shows_both(readiness: Readiness) -> None:
    readiness.done("policy")
    readiness.drain()
    assert readiness.body() == "draining\nidentity"


def test_warnings_are_shown_and_change_nothing(readiness: Readiness) -> None:
    readiness.done("identity")
    readiness.done("policy")
    readiness.warn("policy", "the file is broken")
    readiness.warn("policy", "the file is gone")
    readiness.warn("identity", "expires soon")
    assert readiness.ready
    assert readiness.body() == (
        "ready\nwarning: policy: the file is gone\nwarning: identity: expires soon"
    )
    readiness.unwarn("policy")
    readiness.unwarn("policy")
    assert readiness.body() == "ready\nwarning: identity: expires soon"


def test_a_misspelt_condition_is_a_mistake(readiness: Readiness) -> None:
    with pytest.raises(ValueError, match="expected one of identity, policy, got 'x'"):
        readiness.done("x")
    with pytest.raises(ValueError, match="got 'x'"):
        readiness.failed("x", "why")


def test_the_conditions_of_a_proxy_are_the_default() -> None:
    assert Readiness().pending() == ("identity", "policy", "listeners")


def test_all_that_is_wrong_is_said_up_to_a_point(readiness: Readiness) -> None:
    readiness.warn("reload", *map(str, range(100)))
    lines = readiness.body().splitlines()
    assert lines[-2:] == [
        "warning: reload: 19",
        "warning: reload: and 80 more, which are in the log",
    ]


def test_each_thing_that_is_wrong_has_a_line_of_the_answer(
    readiness: Readiness,
) -> None:
    readiness.warn("reload", "line 3: is broken", "line 4: is, too")
    assert readiness.body().splitlines()[-2:] == [
        "warning: reload: line 3: is broken",
        "warning: reload: line 4: is, too",
    ]


def test_warnings_can_be_passed_on() -> None:
    readiness = Readiness(())
    readiness.warn("reload", "broken")
    assert readiness.warnings == {"reload": "broken"}
    readiness.unwarn("reload")
    assert readiness.warnings == {}
