"""What is served with, as messages come and configurations change."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from attrs import evolve

from sidecar.config.check import Checked
from sidecar.config.model import AdditionalIdentity, Config, Identity
from sidecar.config.problems import ConfigError
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.issued import Issued
from sidecar.policy.model import Policy
from tests.support.agent import entry, issue, response
from tests.support.mesh import material, svid
from tests.support.pki import new_authority, now

HOUR = dt.timedelta(hours=1)
AUTHORITY = new_authority()
API = issue(AUTHORITY, "/api")
IDENTITY = Identity(workload_api="unix:///s")


def checked(**changes: Any) -> Checked:
    identity = evolve(IDENTITY, **changes)
    return Checked(Config(identity), Policy(), None, ())


def message(svid: Any = API, hint: str = "") -> bytes:
    sent: bytes = response(entry(svid, AUTHORITY, hint)).SerializeToString()
    return sent


def test_there_is_nothing_before_the_first_message() -> None:
    issued = Issued()
    assert issued.material(checked(), now()) is None
    assert issued.problems == ()


def test_a_good_message_is_what_is_served_with() -> None:
    issued = Issued()
    issued.receive(message())
    for _ in range(2):
        found = issued.material(checked(), now())
        assert found is not None
        assert found.svid == API


def test_files_are_served_with_where_they_are_named() -> None:
    issued = Issued()
    issued.receive(b"\xff")
    assert issued.material(checked(), now()) is None
    assert issued.problems
    files = material(svid("api"))
    assert issued.material(evolve(checked(), material=files), now()) is files
    assert issued.problems == ()


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"\xff", "identity.workload_api: not an answer: a number is cut off"),
        (message(issue(AUTHORITY, "/api", -HOUR)), "must be valid until after"),
    ],
)
def test_a_bad_message_leaves_the_good_one(bad: bytes, why: str) -> None:
    issued = Issued()
    issued.receive(message())
    before = issued.material(checked(), now())
    issued.receive(bad)
    assert issued.material(checked(), now()) == before
    assert why in str(issued.problems[0])
    issued.receive(message())
    assert issued.material(checked(), now()) == before
    assert issued.problems == ()


def test_a_message_that_came_too_early_is_good_later() -> None:
    issued = Issued()
    issued.receive(message())
    early = now() - 2 * HOUR
    assert issued.material(checked(), early) is None
    assert "must be valid from" in str(issued.problems[0])
    assert issued.material(checked(), now()) is not None
    assert issued.problems == ()


def test_a_configuration_may_choose_another_svid_of_the_same_message() -> None:
    issued = Issued()
    issued.receive(message(hint="internal"))
    first = issued.material(checked(), now())
    assert issued.material(checked(hint="internal"), now()) == first
    with pytest.raises(ConfigError) as caught:
        issued.material(checked(hint="external"), now())
    assert str(caught.value.problems[0]).startswith("identity.hint: expected the hint")
    assert issued.material(checked(), now()) == first


def test_a_configuration_may_make_good_what_was_refused() -> None:
    issued = Issued()
    issued.receive(message(hint="internal"))
    assert issued.material(checked(hint="typo"), now()) is None
    assert issued.problems
    assert issued.material(checked(hint="internal"), now()) is not None


def test_what_is_absent_in_a_message_is_not_ours_and_stands_in_no_reload_s_way() -> (
    None
):
    internal = checked(hint="internal")
    issued = Issued()
    issued.receive(message(hint="internal"))
    assert issued.material(internal, now()) is not None
    issued.receive(message(issue(AUTHORITY, "/other"), "external"))
    for _ in range(2):
        found = issued.material(internal, now())
        assert found is not None
        assert (found.svid, found.granted) == (API, frozenset([other_name("/other")]))
        assert issued.problems == ()
        assert "the agent has ('external'), got 'internal'" in str(issued.remarks[0])
    with pytest.raises(ConfigError):
        issued.material(checked(hint="typo"), now())
    assert issued.material(checked(hint="external"), now()) is not None
    assert issued.remarks == ()


def other_name(path: str) -> SpiffeId:
    return SpiffeId.parse(f"spiffe://example.org{path}")


def test_what_another_agent_sent_before_files_is_not_known_any_more() -> None:
    internal = checked(hint="internal")
    issued = Issued()
    issued.receive(message(hint="internal"))
    assert issued.material(internal, now()) is not None
    files = evolve(checked(), material=material(svid("api")))
    assert issued.material(files, now()) is files.material
    issued.forget()
    issued.receive(message(issue(AUTHORITY, "/other"), "external"))
    assert issued.material(internal, now()) is None
    assert "got 'internal'" in str(issued.problems[0])


def test_an_additional_identity_that_is_absent_takes_no_other_with_it() -> None:
    pays = checked(additional={"pays": AdditionalIdentity(hint="pays")})
    billing = entry(issue(AUTHORITY, "/billing"), AUTHORITY, "pays")
    issued = Issued()
    issued.receive(response(entry(API, AUTHORITY), billing).SerializeToString())
    assert issued.material(pays, now()) is not None
    fresh = issue(AUTHORITY, "/api")
    issued.receive(message(fresh))
    found = issued.material(pays, now())
    assert found is not None
    assert (found.svid, found.granted) == (fresh, frozenset([API.name]))
    assert issued.remarks[0].where == "identity.additional.pays.hint"


def test_what_is_forgotten_is_known_by_its_name() -> None:
    """A refusal may be followed by a message with a part of what was there before."""
    internal = checked(hint="internal")
    issued = Issued()
    issued.receive(message(hint="internal"))
    issued.material(internal, now())
    issued.forget()
    assert issued.material(internal, now()) is None
    issued.receive(message(hint="renamed"))
    found = issued.material(internal, now())
    assert found is not None
    assert found.svid == API


def test_what_was_good_is_not_judged_by_its_time_again() -> None:
    """The agent may be away when it ends, and files have to be reloaded then, too."""
    issued = Issued()
    issued.receive(message())
    before = issued.material(checked(), now())
    assert issued.material(checked(), now() + 9 * HOUR) == before
